# BatonHttp.pm
#	Helpers of the tests of "baton serve": a server on a free port, requests by the real
#	curl, and bytes on a socket for what curl wouldn't send.

package BatonHttp;

use strict;
use warnings;

use BatonProgram;
use Exporter 'import';
use IO::Socket::INET;
use IPC::Run qw(run timeout);
use JSON::PP ();
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(serve token curl api json raw raw_open raw_read is_problem start_curl curl_answer);

# What reads bytes from anybody is tested with sanitizers.
# Leaks count where the program runs long.
$program = $ENV{BATON_SANITIZED} if $ENV{BATON_SANITIZED};
$ENV{ASAN_OPTIONS} = 'detect_leaks=0';

my $json = JSON::PP->new->utf8->allow_nonref;

# Starts a server and waits until it listens; {url} is where.  Options as for the program.
sub serve
{
	my @options = @_;
	local $ENV{ASAN_OPTIONS} = 'detect_leaks=1';
	my $self = start_baton('serve', '--listen', '127.0.0.1:0', @options);

	wait_until('it listens', sub { $self->{out} =~ m{^(https?://\S+)\n}m }, $self)
	  or die "no server: $self->{err}";
	($self->{url}) = $self->{out} =~ m{^(https?://\S+)\n}m;
	($self->{port}) = $self->{url} =~ /:(\d+)$/;
	return $self;
}

# Makes a token and returns it.
sub token
{
	my ($name, @options) = @_;
	my ($code, $out, $err) = baton('token', 'create', $name, @options);

	die "no token: $err" if $code != 0;
	chomp $out;
	return $out;
}

# Runs curl: (status, body, headers).  Status 0: no answer.
sub curl
{
	my @arguments = @_;
	my ($out, $err) = ('', '');

	run([ 'curl', '-sS', '-i', '--max-time', $patience, @arguments ], '<', \'', '>', \$out,
		'2>', \$err, timeout($patience + 5));
	return split_answer($out, $err);
}

sub split_answer
{
	my ($out, $err) = @_;

	# "100 Continue" comes first where curl asked for it.
	$out =~ s/^HTTP\/1\.1 100 .*?\r\n\r\n//s;
	return (0, $err, '') unless $out =~ /^HTTP\/1\.1 (\d+) .*?\r\n\r\n/s;
	my $status = $1;
	my ($headers, $body) = split(/\r\n\r\n/, $out, 2);
	return ($status, $body, $headers);
}

# A request with a token, and a body that is a Perl value or a string of JSON: (status, decoded, headers).
sub api
{
	my ($server, $token, $method, $path, $body, @more) = @_;
	my @arguments = ('-X', $method, @more);

	push @arguments, '-H', "Authorization: Bearer $token" if defined $token;
	push @arguments, '-H', 'Content-Type: application/json', '--data-binary',
	  ref $body ? $json->encode($body) : $body if defined $body;
	my ($status, $text, $headers) = curl(@arguments, "$server->{url}$path");
	return ($status, $text =~ /^\s*[\[{]/ ? json($text) : $text, $headers);
}

sub json
{
	my ($text) = @_;
	my $value = eval { $json->decode($text) };

	diag("not JSON: $text") if $@;
	return $value;
}

# The answer is a problem document of this status, and says what it should.
sub is_problem
{
	my ($answer, $status, $detail, $name) = @_;
	my ($got, $body, $headers) = @$answer;

	$body = json($body) unless ref $body;
	my $good = $got == $status && $headers =~ m{^content-type: application/problem\+json\r?$}mi
	  && ref $body eq 'HASH' && $body->{status} == $status && $body->{title}
	  && (!defined $detail || ($body->{detail} // '') =~ $detail);
	ok($good, $name) or diag("got $got\n$headers\n" . (ref $body ? $json->encode($body) : $body // ''));
	return $good;
}

# ---- sockets ----

sub raw_open
{
	my ($server) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->{port},
		Timeout => $patience) or die "could not connect: $@";

	$socket->autoflush(1);
	return $socket;
}

# Reads until the end, the pattern, or the time is over.
sub raw_read
{
	my ($socket, $pattern, $seconds) = @_;
	my $end = time + ($seconds || $patience);
	my $got = '';

	while ((!$pattern || $got !~ $pattern) && time < $end)
	{
		my $bits = '';
		vec($bits, fileno($socket), 1) = 1;
		next unless select($bits, undef, undef, 0.1);
		my $n = sysread($socket, $got, 65536, length $got);
		last unless $n;
	}
	return $got;
}

# Bytes as they are, on a connection of their own: all that comes back until it is closed, or
# until the pattern.
sub raw
{
	my ($server, $bytes, $pattern) = @_;
	my $socket = raw_open($server);

	local $SIG{PIPE} = 'IGNORE';
	print $socket $bytes;
	return raw_read($socket, $pattern);
}

# ---- in the background ----

# Starts curl and returns a handle; curl_answer() waits for its end: (status, body, headers).
sub start_curl
{
	my @arguments = @_;
	my $self = { out => '', err => '' };

	$self->{run} = IPC::Run::start([ 'curl', '-sS', '-i', '--max-time', $patience, @arguments ],
		'<', \'', '>', \$self->{out}, '2>', \$self->{err}, timeout($patience + 5));
	return $self;
}

sub curl_answer
{
	my ($self) = @_;

	eval { IPC::Run::finish($self->{run}) };
	return split_answer($self->{out}, $self->{err});
}

1;
