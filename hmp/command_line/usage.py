"""What `--help` and `--ui-help` print."""

USAGE = """\
usage: hmp [options] [disk_image]

The options are QEMU's own. Without any, hmp starts a small machine with a fresh disk.

  -M TYPE               the machine type: none, pc, q35, isapc, microvm; help lists all
  -m SIZE               its memory, in MiB unless a suffix says otherwise
  -drive OPTIONS        a drive: file=, id=, if=, format=, media=, readonly=, cache=, snapshot=
  -blockdev OPTIONS     a block node: driver=, node-name=, file=
  -device OPTIONS       a device: virtio-blk-pci, ide-hd, ide-cd, scsi-hd, floppy, loader
  -device hmp-guest,pages-rate=N,disk=ID,disk-rate=N
                        a guest that writes N pages of RAM and N bytes of a drive a second, 0
                        for as fast as it can; base=, size= and disk-size= narrow down where;
                        on a PC it counts seconds on the screen and the disk, and takes keys
  -netdev, -nic, -object, -chardev, -serial, -global, -rtc, -name, -uuid, -smp, ...
                        as QEMU has them; what isn't simulated is refused in a sentence
  -snapshot             write to temporary files instead of the disks
  -S                    don't start the machine
  -loadvm TAG           begin with a snapshot
  -incoming URI         begin with a machine that migrates here
  -monitor DEVICE       where the monitor is: stdio, unix:PATH,server=on,wait=off, telnet:...
  -qmp DEVICE, -mon chardev=ID,mode=readline|control
                        QMP, and monitors on character devices
  -nographic, -daemonize, -pidfile FILE
                        as QEMU has them

Of our own:

  --ui plain|rich       the front end: QEMU's own bytes, or a shell for people
  --config FILE, --yes  settings of the latter; ask nothing.  --ui-help says more
  --lab                 words that show what snapshots are made of; %help lists them
  --check LESSON [--json] [FOLDER]
                        whether the images in a folder solve a lesson of the lab; the exit
                        status is 0 if so
  -c LINE [--json]      run a line without a prompt, and more of them one after the other; the
                        exit status is 1 when one could not be carried out
  --record FILE         keep every line and its answer
  --replay FILE [--check]
                        run the lines of such a file again; tell what is answered otherwise
  --deterministic       see no clock of the host: %run SECONDS moves guest time
  --fault NAME=VALUE    let something go wrong; --fault help lists what
  -version              the version

`help` at the prompt lists the monitor's commands."""

UI_USAGE = """\
On a terminal, and unless an option says where the monitor is, hmp shows a shell for people; then
QEMU's own bytes.  --ui plain or --ui rich, or the variable HMP_UI, choose.

  Tab, arrows     choose from the menu            Ctrl-R         search the history
  F1              help for the word              Ctrl-C         clear the line, cancel a command
  Right, Ctrl-E   take the suggestion in grey    Ctrl-D         quit
  A paste of several lines runs them one by one.

Settings, with what they are if you say nothing, are keys of a TOML file: hmp/config.toml in
XDG_CONFIG_HOME (~/.config), or the one that --config names.  --yes sets all of confirm to false.

{settings}

  aliases.WORD    a line that WORD stands for, such as ss = "info snapshots"

NO_COLOR takes all colours away.  The history is hmp/history in XDG_STATE_HOME (~/.local/state)."""
