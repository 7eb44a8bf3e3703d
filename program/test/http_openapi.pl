# What it would catch: a route that docs/openapi.yaml or docs/http.md doesn't have, or has with another
# method, scope, parameter or summary, and one there that the program doesn't have.

use strict;
use warnings;

use CPAN::Meta::YAML;
use FindBin;
use lib $FindBin::RealBin;
use BatonProgram;
use Test::More;

my $docs = "$FindBin::RealBin/../../docs";
my $api = (CPAN::Meta::YAML->read("$docs/openapi.yaml") or die CPAN::Meta::YAML->errstr)->[0];
my $reference = slurp("$docs/http.md");
my ($code, $out) = baton('help', '--routes');

is($code, 0, 'the table of routes');
my @routes = map { [ split(/\t/, $_, -1) ] } split(/\n/, $out);
cmp_ok(scalar @routes, '>=', 17, '... has them');

my %seen;
foreach my $route (@routes)
{
	my ($method, $path, $scope, $parameters, $summary) = @$route;
	my $operation = delete $api->{paths}{$path}{ lc $method };

	ok($operation, "$method $path is there") or next;
	$seen{$path} = 1;
	is($operation->{summary}, $summary, '... its summary');
	my ($security) = @{ $operation->{security} };
	is($security ? join(' ', @{ $security->{bearer} }) : '-', $scope, '... its scope');
	my @parameters = @{ $operation->{parameters} || [] };
	is(join(' ', map { $_->{name} } grep { ($_->{in} || '') eq 'query' } @parameters), $parameters, '... its parameters');
	my @in_path = map { m{parameters/(\w+)$} ? $1 : () } map { $_->{'$ref'} || () } @parameters;
	is(join(' ', grep { $api->{components}{parameters}{$_}{in} eq 'path' } @in_path), join(' ', $path =~ /\{(\w+)\}/g), '... what is in its path');
	like($reference, qr/`$method \Q$path\E`/, '... docs/http.md has it');
}
foreach my $path (sort keys %{ $api->{paths} })
{
	is(join(' ', sort keys %{ $api->{paths}{$path} }), '', "nothing else at $path");
}

# What is referred to is there.
my $text = slurp("$docs/openapi.yaml");
foreach my $ref ($text =~ m{\$ref: '#/components/(\w+/\w+)'}g)
{
	my ($kind, $name) = split(m{/}, $ref);
	ok($api->{components}{$kind}{$name}, "$ref is there") unless $seen{$ref}++;
}

done_testing();
