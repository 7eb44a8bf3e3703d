# BatonWire.pm
#	A client that speaks the protocol itself, for what psql can't do: pipelines, and
#	connections that come and go by the hundred.
#
#	my $wire = BatonWire->connect($node);
#	$wire->pipeline('select 1', 'select 2');	# sent at once, one Sync at the end
#	my ($error, @rows) = $wire->answer;			# error: SQLSTATE, or undef
#	$wire->send_query('call baton.wait(...)');	# the simple protocol; answer() waits
#	$wire->pid, $wire->close

package BatonWire;

use strict;
use warnings FATAL => 'all';

use IO::Socket::UNIX;

sub connect
{
	my ($class, $node, $database) = @_;
	my $socket = IO::Socket::UNIX->new($node->host . '/.s.PGSQL.' . $node->port)
	  or die "could not connect: $!";
	my $self = bless { socket => $socket }, $class;
	my $startup = pack('N', 196608)
	  . join("\0", 'user', scalar getpwuid($<), 'database', $database // 'postgres') . "\0\0";

	local $SIG{PIPE} = 'IGNORE';
	print $socket pack('N', 4 + length $startup), $startup;
	$socket->flush;
	$self->answer;
	return $self;
}

sub pid { return $_[0]{pid}; }

sub put
{
	my ($self, @messages) = @_;

	local $SIG{PIPE} = 'IGNORE';
	$self->{socket}->print(map { substr($_, 0, 1) . pack('N', 3 + length $_) . substr($_, 1) } @messages);
	$self->{socket}->flush;
	return;
}

sub pipeline
{
	my ($self, @statements) = @_;
	my @messages;

	push @messages, "P\0$_\0" . pack('n', 0), "B\0\0" . pack('nnn', 0, 0, 0), "E\0" . pack('N', 0)
	  foreach @statements;
	$self->put(@messages, 'S');
	return;
}

sub send_query
{
	my ($self, $sql) = @_;

	$self->put("Q$sql\0");
	return;
}

sub take
{
	my ($self, $n) = @_;
	my $data = '';

	while (length $data < $n)
	{
		my $got = $self->{socket}->sysread($data, $n - length $data, length $data);

		return unless $got;
	}
	return $data;
}

# The first column of a DataRow.
sub first_column
{
	my ($row) = @_;
	my ($columns, $length) = unpack('nN', $row);

	return $length == 0xffffffff ? undef : substr($row, 6, $length);
}

# Everything up to ReadyForQuery: (SQLSTATE of the first error, first column of each row).
# A connection that is lost is 'lost'.
sub answer
{
	my ($self) = @_;
	my ($error, @rows);

	while (1)
	{
		my $head = $self->take(5) // return ($error // 'lost', @rows);
		my ($type, $length) = unpack('aN', $head);
		my $body = $length > 4 ? $self->take($length - 4) // return ($error // 'lost', @rows) : '';

		push @rows, first_column($body) if $type eq 'D';
		$self->{pid} = unpack('N', $body) if $type eq 'K';
		$error //= ($body =~ /\0C([0-9A-Z]{5})\0/)[0] if $type eq 'E';
		return ($error, @rows) if $type eq 'Z';
	}
}

sub close
{
	my ($self) = @_;

	$self->{socket}->close;
	return;
}

1;
