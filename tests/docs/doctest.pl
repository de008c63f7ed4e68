#!/usr/bin/perl
# tests/docs/doctest.pl: does what a page of the documentation says, and compares what comes out.
#
# Usage: doctest.pl PAGE.md        CC, CFLAGS and LIBS say how C programs are built
#
#   ```c        A program, if it has a main. Else a piece: all pieces of one ## section are joined
#               and stand in the page's frame, the block with the words "stand here". Error messages
#               call each program <page>.c, and count the lines of its blocks.
#   ```text     What the programs of this section print.
#   ```console  "$ command" lines are run in a shell, one for the whole page, in an empty directory
#               that is also HOME; other lines are what they print. A line "…" stands for any lines,
#               "…" inside a line for any text, and a number such as 0.25 for any such number, since
#               these depend on the machine. A command that fails must have its output shown.
#   A block of any kind whose first line is a comment with a file name, "// a/b.c: …" or
#   "# CMakeLists.txt", becomes that file in the shell's directory.
#
# Blocks of other kinds are not looked at. C is checked if LIBS is set; the shell runs if
# TENON_PREFIX is set: Tenon is installed there, which is ~/tenon to the page. With DOCTEST_SHOW=1
# everything that comes out is printed. Exits 0, or 1 after saying what differs.
use strict;
use warnings;
use File::Basename;
use File::Path qw(make_path);
use File::Temp qw(tempdir);

my $page = shift or die "usage: doctest.pl PAGE.md\n";
my $name = basename($page, '.md');
my $home = tempdir(CLEANUP => 1);
my ($failures, $checks) = (0, 0);

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or die "$path: $!\n";
    local $/;
    my $text = <$in>;
    return defined $text ? $text : '';
}

sub spit {
    my ($path, $text) = @_;
    make_path(dirname($path));
    open my $out, '>', $path or die "$path: $!\n";
    print $out $text;
    close $out or die "$path: $!\n";
}

# ------------------------------------------------------------------ the page, taken apart

# Sections in order; each has blocks {kind, text, line}.
sub read_page {
    my @sections = ({ title => '(top)', blocks => [] });
    my ($block, $line) = (undef, 0);
    for (split /\n/, slurp($page), -1) {
        $line++;
        if ($block) {
            if (/^```\s*$/) { push @{ $sections[-1]{blocks} }, $block; undef $block }
            else { $block->{text} .= "$_\n" }
        } elsif (/^```(\S*)/) {
            $block = { kind => $1, text => '', line => $line };
        } elsif (/^## +(.*)/) {
            push @sections, { title => $1, blocks => [] };
        }
    }
    die "$page: a block is not closed\n" if $block;
    return @sections;
}

sub file_of {
    my ($block) = @_;
    return $block->{text} =~ m{\A(?://|\#) ([\w./-]+\.(?:c|h|txt|cmake|json|csv))[:\s]} ? $1 : undef;
}

# ------------------------------------------------------------------ comparing

# Lines wanted as a pattern; with `loose`, any decimal number will do.
sub pattern_of {
    my ($wanted, $loose) = @_;
    my @parts;
    for (split /\n/, $wanted) {
        if (/^\s*…\s*$/) { push @parts, '(?:.*\n)*?'; next }
        my $line = join('.*', map { quotemeta } split /…/, $_, -1);
        $line =~ s/\d+\\\.\d+/\\d+\\.\\d+/g if $loose;
        push @parts, "$line\\n";
    }
    return '\A' . join('', @parts) . '\z';
}

# Blanks at the ends of lines and empty lines at the end do not count.
sub trimmed {
    my ($text) = @_;
    $text =~ s/\Q$ENV{TENON_PREFIX}\E/~\/tenon/g if $ENV{TENON_PREFIX};
    $text =~ s/\Q$home\E/~/g;
    $text =~ s/[ \t]+$//mg;
    $text =~ s/\n*\z/\n/ if length $text;
    $text = '' if $text eq "\n";
    return $text;
}

sub compare {
    my ($where, $got, $wanted, $loose) = @_;
    ($got, $wanted) = (trimmed($got), trimmed($wanted));
    print "$where\n$got" if $ENV{DOCTEST_SHOW};
    my $pattern = pattern_of($wanted, $loose);
    $checks++;
    return if $got =~ /$pattern/;
    $failures++;
    print "$page:$where\n--- the page says\n$wanted--- it is\n$got---\n";
}

# ------------------------------------------------------------------ C

sub run_program {
    my ($where, $source, $wanted) = @_;
    my $base = "$home/program";
    spit("$base.c", $source);
    my $cc = $ENV{CC} // 'cc';
    my $said = `cd "$home" && $cc $ENV{CFLAGS} program.c -o program $ENV{LIBS} 2>&1`;
    if ($? != 0 || $said ne '') {
        $failures++;
        print "$page:$where: does not compile without a word:\n$said";
        return;
    }
    my $got = `cd "$home" && ./program 2>&1`;
    my $status = $?;
    compare($where, $got, $wanted);
    return if $status == 0;
    $failures++;
    print "$page:$where: the program ended with status $status\n";
}

my $frame;

sub test_c {
    my ($section) = @_;
    my ($pieces, $lines, $wanted, $first) = ('', 0, '', 0);
    my @programs;
    for my $block (@{ $section->{blocks} }) {
        if ($block->{kind} eq 'text' && ($first || @programs)) {
            $wanted .= $block->{text};
        } elsif ($block->{kind} eq 'c' && (!file_of($block) || $block->{text} =~ /^int main\(/m)) {
            my $place = sub { sprintf "#line %d \"$name.c\"\n", 1 + shift };
            if ($block->{text} =~ /stand here/) { $frame = $block->{text} }
            elsif ($block->{text} =~ /^int main\(/m) {
                push @programs, [$block->{line}, $place->(0) . $block->{text}];
            } else {
                $pieces .= $place->($lines) . $block->{text};
                $lines += ($block->{text} =~ tr/\n//);
                $first ||= $block->{line};
            }
        }
    }
    if ($first) {
        die "$page:$first: a piece of C, but no frame before\n" unless $frame;
        my $source = "#line 1 \"frame.c\"\n$frame";
        $source =~ s/^[^\n]*stand here[^\n]*\n/$pieces#line 1 "frame.c"\n/m;
        push @programs, [$first, $source];
    }
    die "$page: section \"$section->{title}\": one program a section\n" if @programs > 1;
    run_program($programs[0][0], $programs[0][1], $wanted) if @programs;
}

# ------------------------------------------------------------------ the shell

sub commands_of {
    my ($block) = @_;
    my @commands;
    my $line = $block->{line};
    my $open = 0;
    for (split /\n/, $block->{text}) {
        $line++;
        if ($open) { $commands[-1]{command} .= "\n$_" }
        elsif (/^\$ (.*)/) { push @commands, { command => $1, wanted => '', line => $line } }
        elsif (@commands) { $commands[-1]{wanted} .= "$_\n"; next }
        else { die "$page:$line: output before the first command\n" }
        $open = /\\$/;
    }
    return @commands;
}

sub test_console {
    my @commands = @_;
    my $script = '';
    for my $i (0 .. $#commands) {
        $script .= "{ $commands[$i]{command}\n} >'$home/.out.$i' 2>&1 </dev/null\n"
            . "echo \$? >'$home/.status.$i'\n";
    }
    spit("$home/.script", $script);
    system("cd '$home' && HOME='$home' sh .script");
    for my $i (0 .. $#commands) {
        my ($c, $got) = ($commands[$i], slurp("$home/.out.$i"));
        my $status = slurp("$home/.status.$i") + 0;
        compare("$c->{line}: $c->{command}", $got, $c->{wanted}, 1);
        next if $status == 0 || ($c->{wanted} ne '' && $c->{wanted} !~ /^\s*…\s*$/m);
        $failures++;
        print "$page:$c->{line}: $c->{command}: status $status\n$got";
    }
}

# ------------------------------------------------------------------ all of it

my @commands;
for my $section (read_page()) {
    for my $block (@{ $section->{blocks} }) {
        my $file = file_of($block);
        if ($file) {
            my $kept = sprintf '%s/.file.%d', $home, scalar @commands;
            spit($kept, $block->{text});
            push @commands, {
                command => "mkdir -p '$home/" . dirname($file) . "' && cp '$kept' '$home/$file'",
                wanted => '', line => $block->{line} };
        } elsif ($block->{kind} eq 'console') {
            push @commands, commands_of($block);
        }
    }
    test_c($section) if $ENV{LIBS};
}
if (@commands && $ENV{TENON_PREFIX}) {
    symlink $ENV{TENON_PREFIX}, "$home/tenon" or die "$home/tenon: $!\n";
    symlink $ENV{TENON_SOURCE_DIR}, "$home/tenon-source" or die "$home/tenon-source: $!\n";
    test_console(@commands);
}
if (!$failures && !$checks) {
    print "$page: nothing to check\n";
    exit 1;
}
print "$page: $checks checks, $failures failures\n";
exit($failures ? 1 : 0);
