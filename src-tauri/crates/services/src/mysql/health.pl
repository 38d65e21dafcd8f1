#!/usr/bin/perl
# Says over HTTP what this node's server is: GET /primary, /replica or /member gives 200 when it may take that traffic.
#
# HAProxy's checks send and expect plain lines and cannot sign in to this kind of server, unless an account without a
# password is left open. This process keeps one session of the server's own client open, through the socket in the
# machine's folder, and asks it anew for each check. It needs nothing but perl itself.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use IPC::Open2;
use Time::HiRes qw(time);

my ($address, $port, $client, $conf, $kind) = @ARGV;
my $ANSWERS_WITHIN = 0.35;    # seconds; HAProxy waits half a second
my $ASKS_WITHIN    = 1;
my $MOST           = 64;      # connections at a time

# MariaDB: does it follow, is it in step with its group. MySQL: what it is in its group, and whether that has a majority.
my $status = sub {
    "COALESCE((SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = '$_[0]'), '-')";
};
my $members = 'FROM performance_schema.replication_group_members';
my %question = (
    mariadb => "SELECT CONCAT_WS(' ', 'role', \@\@global.read_only + 0, "
        . join(', ', map { $status->($_) } qw(SLAVE_RUNNING WSREP_READY WSREP_LOCAL_STATE)) . ");\n",
    group => "SELECT CONCAT_WS(' ', 'role', \@\@global.super_read_only + 0, "
        . "COALESCE((SELECT MEMBER_STATE $members WHERE MEMBER_ID = \@\@server_uuid), 'OFFLINE'), "
        . "COALESCE((SELECT NULLIF(MEMBER_ROLE, '') $members WHERE MEMBER_ID = \@\@server_uuid), '-'), "
        . "(SELECT SUM(MEMBER_STATE IN ('ONLINE', 'RECOVERING')) * 2 > COUNT(*) $members));\n",
);
my $QUESTION = $question{$kind};

$SIG{PIPE} = 'IGNORE';
my ($pid, $from, $to);

sub hang_up {
    return unless $pid;
    kill 'KILL', $pid;
    waitpid $pid, 0;
    close $from;
    close $to;
    undef $pid;
}

# The server's words about itself, or nothing.
sub role {
    unless ($pid) {
        $pid = eval {
            open2($from, $to, $client, "--defaults-file=$conf", qw(--batch --skip-column-names --unbuffered --connect-timeout=1));
        } or return;
    }
    unless (syswrite $to, $QUESTION) { hang_up(); return }
    my ($text, $until) = ('', time + $ANSWERS_WITHIN);
    my $ready = IO::Select->new($from);
    while ($text !~ /\n/) {
        my $left = $until - time;
        if ($left <= 0 || !$ready->can_read($left) || !sysread $from, $text, 4096, length $text) { hang_up(); return }
    }
    return $text =~ /^role (\d) (\S+) (\S+) (\S+)$/m ? ($1, $2, $3, $4) : ();
}

# What a server that follows its primary, or is a member of Galera, may take.
sub mariadb {
    my ($path, $read_only, $follows, $ready, $state) = @_;
    my $member = $ready eq 'ON' && $state eq '4';
    return $read_only eq '0' && $follows ne 'ON' && $state !~ /^[1-9]/ if $path eq '/primary';
    return $read_only eq '1' && $follows eq 'ON' if $path eq '/replica';
    return $member if $path eq '/member';
    return 0;
}

# What a member of a group may take; a single node is in none.
sub group {
    my ($path, $read_only, $state, $role, $majority) = @_;
    my $member = $state eq 'ONLINE' && $majority eq '1';
    return $read_only eq '0' && ($state eq 'OFFLINE' || $member && $role eq 'PRIMARY') if $path eq '/primary';
    return $member && $role eq 'SECONDARY' if $path eq '/replica';
    return $member && $read_only eq '0' if $path eq '/member';
    return 0;
}

sub answer {
    my ($path) = @_;
    my @said = role();
    return 0 unless @said == 4;
    return $kind eq 'group' ? group($path, @said) : mariadb($path, @said);
}

my $listener = IO::Socket::INET->new(LocalAddr => $address, LocalPort => $port, Listen => 64, ReuseAddr => 1)
    or die "cannot bind socket $address:$port: $!\n";
# What the client complains of is in the server's own log.
open STDERR, '>', '/dev/null';
my $select = IO::Select->new($listener);
my %asked;    # connection => [what it said, since]
while (1) {
    for my $one ($select->can_read(0.5)) {
        if ($one == $listener) {
            my $new = $listener->accept or next;
            if (keys %asked >= $MOST) { close $new; next }
            $new->blocking(0);
            $select->add($new);
            $asked{$new} = [$new, '', time];
            next;
        }
        my $said = $asked{$one};
        my $got = sysread $one, $said->[1], 1024, length $said->[1];
        if ($got && $said->[1] =~ m{^GET (/\w+) .*?\r?\n}) {
            my $line = answer($1) ? '200 OK' : '503 Service Unavailable';
            syswrite $one, "HTTP/1.0 $line\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        }
        elsif ($got && length $said->[1] < 2048) { next }
        $select->remove($one);
        delete $asked{$one};
        close $one;
    }
    for my $said (values %asked) {
        next if time - $said->[2] < $ASKS_WITHIN;
        $select->remove($said->[0]);
        delete $asked{ $said->[0] };
        close $said->[0];
    }
}
