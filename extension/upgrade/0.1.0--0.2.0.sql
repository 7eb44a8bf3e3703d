/*
 * From 0.1.0 to 0.2.0: what must go or change before the install script runs over what is there.
 * That script makes whatever is missing and replaces functions and views in place, so only the
 * following is said here: columns of tables that exist, functions whose arguments changed
 * (who was granted them is asked to be granted them again), tables of the log that exist.
 */
\echo Use "ALTER EXTENSION baton UPDATE" to load this file. \quit
