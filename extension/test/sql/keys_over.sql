-- A message that is over, expired or purged, and next of its key: what waits behind it in the line of the key comes then.
-- Forbids: the maintenance that frees its slot leaves the others of its key waiting for a holder that there isn't.
select baton.create_queue('q'), baton.create_queue('other');
select baton.send('q', '1', key => 'k') > 0 as one,
	baton.send('q', '2', key => 'k', expires_in => '1 minute') > 0 as two,
	baton.send('q', '3', key => 'k') > 0 as three;
-- all are looked at: one is handed out, the others wait for its key
select payload, receipt as first from baton.receive('q', 3) \gset
select :'payload' as payload;
select blocked from baton.queue where name = 'q';
-- two is next, and expires before anybody takes it
select baton.complete(:'first');
select ready, blocked from baton.queue where name = 'q';
select baton_test.set_clock('2 minutes');
-- slots of messages that are over are freed
select baton.purge_queue('other');
select baton_test.wait_until($$(select ready = 1 and blocked = 0 from baton.queue where name = 'q')$$);
select r.payload, baton.complete(r.receipt) from baton.receive('q') r;
select depth from baton.queue where name = 'q';
select baton_test.check_memory();
call baton_test.clean();
