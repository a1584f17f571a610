"""What `hmp-img --help` says."""

from __future__ import annotations

USAGE = """\
usage: {name} [standard options] command [command options]
QEMU disk image utility

    '-h', '--help'       display this help and exit
    '-V', '--version'    output version information and exit
    '-T', '--trace'      [[enable=]<pattern>][,events=<file>][,file=<file>]
                         taken for the sake of scripts; nothing is traced

Command syntax:
  amend [--object objectdef] [--image-opts] [-p] [-q] [-f fmt] [-t cache] [--force] -o options \
filename
  bench [-c count] [-d depth] [-f fmt] [--flush-interval=flush_interval] [-i aio] [-n] \
[--no-drain] [-o offset] [--pattern=pattern] [-q] [-s buffer_size] [-S step_size] [-t cache] [-w] \
[-U] filename
  bitmap (--merge SOURCE | --add | --remove | --clear | --enable | --disable)... [-b source_file \
[-F source_fmt]] [-g granularity] [--object objectdef] [--image-opts | -f fmt] filename bitmap
  check [--object objectdef] [--image-opts] [-q] [-f fmt] [--output=ofmt] [-r [leaks | all]] \
[-T src_cache] [-U] filename
  commit [--object objectdef] [--image-opts] [-q] [-f fmt] [-t cache] [-b base] [-r rate_limit] \
[-d] [-p] filename
  compare [--object objectdef] [--image-opts] [-f fmt] [-F fmt] [-T src_cache] [-p] [-q] [-s] \
[-U] filename1 filename2
  convert [--object objectdef] [--image-opts] [--target-image-opts] [--target-is-zero] [--bitmaps] \
[-U] [-C] [-c] [-p] [-q] [-n] [-f fmt] [-t cache] [-T src_cache] [-O output_fmt] [-B backing_file \
[-F backing_fmt]] [-o options] [-l snapshot_param] [-S sparse_size] [-r rate_limit] \
[-m num_coroutines] [-W] [--salvage] filename [filename2 [...]] output_filename
  create [--object objectdef] [-q] [-f fmt] [-b backing_file [-F backing_fmt]] [-u] [-o options] \
filename [size]
  dd [--image-opts] [-U] [-f fmt] [-O output_fmt] [bs=block_size] [count=blocks] [skip=blocks] \
if=input of=output
  info [--object objectdef] [--image-opts] [-f fmt] [--output=ofmt] [--backing-chain] [-U] filename
  map [--object objectdef] [--image-opts] [-f fmt] [--start-offset=offset] [--max-length=len] \
[--output=ofmt] [-U] filename
  measure [--output=ofmt] [-O output_fmt] [-o options] [--size N | [--object objectdef] \
[--image-opts] [-f fmt] [-l snapshot_param] filename]
  snapshot [--object objectdef] [--image-opts] [-U] [-q] [-l | -a snapshot | -c snapshot | \
-d snapshot] filename
  rebase [--object objectdef] [--image-opts] [-U] [-q] [-f fmt] [-t cache] [-T src_cache] [-p] \
[-u] -b backing_file [-F backing_fmt] filename
  resize [--object objectdef] [--image-opts] [-f fmt] [--preallocation=prealloc] [-q] [--shrink] \
filename [+ | -]size
  vmstate [-U] [--json] filename [snapshot]

What the words stand for:
  'filename'        an image: a file, or with '--image-opts' a list of options as for -blockdev
  'objectdef'       an object as for QEMU's -object; a 'secret' is of no use here
  'fmt'             an image's format; otherwise the file is looked at
  'cache'           none, writeback (the default but for convert), writethrough, directsync, unsafe
  'size', 'offset'  bytes, or with the suffix k, M, G, T, P or E so many times 1024 bytes
  'options'         name=value,...; '-o help' tells which there are for a format
  'snapshot_param'  an id or a tag, or snapshot.id=ID,snapshot.name=TAG
  'ofmt'            human or json

What letters mean:
  '-c'  convert: compress the target          '-p'  show how far it is
  '-q'  say nothing but errors                '-n'  convert: the target is there already
  '-S'  so many bytes of zeros become a hole of the target; 0: it has none
  '-u'  rebase: only write the new name; create: don't look at the backing file
  '-U'  read the image even while somebody else writes to it
  '-r'  check: put right 'leaks' or 'all'; convert and commit: bytes a second
  '-s'  compare: sizes and allocation shall be the same too
  '-W'  convert: write in any order           '-m'  convert: how many at once
  '-l -a -c -d'  snapshot: list, apply, create, delete
  '--bitmaps'    convert: take the persistent bitmaps along

Supported formats: file qcow2 raw
"""
