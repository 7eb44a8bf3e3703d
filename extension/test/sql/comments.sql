-- The catalog is the reference: every public function, procedure, view and table says what it is for.
-- What it would catch: a function without a COMMENT or without its errors, an overload that makes an untyped literal
-- ambiguous (finding 28), something that isn't parallel unsafe, a search_path that a caller can lay traps in.
\pset tuples_only on
\pset format unaligned
select proname from pg_proc where pronamespace = 'baton'::regnamespace and obj_description(oid, 'pg_proc') is null;
select proname from pg_proc where pronamespace = 'baton'::regnamespace and proname !~ '^_' and obj_description(oid, 'pg_proc') !~ 'Errors: ';
-- Each argument is named in its comment, or it says where to look.
select proname, argument from pg_proc, unnest(proargnames[1:pronargs]) argument
	where pronamespace = 'baton'::regnamespace and proname !~ '^_' and argument <> 'name' and obj_description(oid, 'pg_proc') !~ ('\m' || argument || '\M')
	and obj_description(oid, 'pg_proc') !~ 'as for|The others|Arguments as';
select relname from pg_class where relnamespace = 'baton'::regnamespace and relkind in ('r', 'v') and relname !~ '_log_\d+$' and obj_description(oid, 'pg_class') is null;
select relname || '.' || attname from pg_class join pg_attribute on attrelid = pg_class.oid and attnum > 0
	where relnamespace = 'baton'::regnamespace and relkind = 'v' and attname in ('status', 'exact', 'action', 'lease_until') and col_description(attrelid, attnum) is null;
-- No overloads; all parallel unsafe, volatile, and not strict.
select proname, count(*) from pg_proc where pronamespace = 'baton'::regnamespace group by 1 having count(*) > 1;
select proname from pg_proc where pronamespace = 'baton'::regnamespace and (proparallel <> 'u' or provolatile <> 'v' or proisstrict or prosecdef);
-- What there is: a change of the SQL face is seen here.
select prokind, proname, pg_get_function_arguments(oid) from pg_proc where pronamespace = 'baton'::regnamespace and proname !~ '^_' order by 1, 2;
