-- A message goes through: made, sent, received, completed, and read in the log.
-- What it would catch: an extension that doesn't install, or whose first verb fails.
select baton.create_queue('smoke');
select baton.send('smoke', '{"n": 1}') > 0 as sent;
select receipt, id, payload, attempt from baton.receive('smoke') \gset
select :'payload' as payload, :attempt as attempt;
select baton.complete(:'receipt', '{"done": true}');
select status, result from baton.get('smoke', :id);
select count(*) from baton.receive('smoke');
select baton.drop_queue('smoke');
