"""Objects, networks, character devices and devices that come and go, beside the real QEMU.

Each session is carried out by both, and what they print must be the same to the byte.
"""

import pytest

from tests.twin import check_session, run

NONE = "-M none"
PC = "-M pc -m 16 -S -accel tcg"

# A session: the machine's options, then its lines.
SESSIONS = {
    "objects": (NONE, """
        object_add help
        object_add iothread,id=io0,poll-max-ns=0x10,poll-grow=3,poll-shrink=4,aio-max-batch=5
        object_add iothread,id=io1,bogus=5
        object_add iothread,id=io2,poll-max-ns=x
        object_add iothread,id=io2,poll-max-ns=-1
        object_add iothread,id=io2,poll-max-ns=99999999999999999999
        object_add iothread,id=io2,poll-max-ns=1.5
        object_add iothread,id=io2,thread-pool-max=0
        object_add iothread,id=1io
        object_add iothread,id=a b
        object_add id=io4,qom-type=iothread
        object_add id=io5
        object_add iothread,help
        object_add iothread,id=x,,y
        object_add iothread,id=x,
        object_add iothread,,id=x
        object_add ,id=x
        object_add "iothread,id=y"
        object_add iothread,id=y,foo
        object_add iothread,=5
        object_add iothread,id=y,.a=5
        object_add iothread,id=y,a.b=5
        object_add iothread,id=y,id.b=5
        object_add iothread,id=y,9=5
        object_add {"qom-type":"iothread","id":"z"}
        info iothreads
        qom-list /objects
        qom-list /objects/io0
        qom-get /objects/io0 poll-max-ns
        qom-set /objects/io0 poll-max-ns 7
        qom-set /objects/io0 poll-max-ns x
        qom-set -j /objects/io0 poll-max-ns 9
        qom-get io0 poll-max-ns
        qom-get /objects/io0 bogus
        qom-get /nosuch x
        qom-list
        object_del io0
        object_del nosuch
        object_del ""
        object_add
    """),
    "other objects": (NONE, """
        object_add memory-backend-ram,id=m0,size=1M
        object_add memory-backend-ram,id=m1
        object_add memory-backend-ram,id=m2,size=0
        object_add memory-backend-ram,id=m2,size=x
        object_add memory-backend-ram,id=m2,size=1M,share=maybe
        object_add memory-backend-ram,id=m2,size=1.5k,share=yes,merge=n
        object_add memory-backend-ram,id=m3,size=1M,policy=bogus
        object_add memory-backend-ram,id=m3,size=1M,policy=bind
        object_add memory-backend-ram,id=m3,size=1M,host-nodes=0
        object_add memory-backend-ram,id=m3,size=99999999T
        object_add memory-backend-ram,id=m3,size=1M,prealloc=on,reserve=off
        object_add memory-backend-file,id=m5,size=1M,mem-path=/nosuch/x
        object_add memory-backend-memfd,id=m6,size=1M
        info memdev
        object_add secret,id=s0
        object_add secret,id=s0,data=abc
        object_add secret,id=s1,data=abc,file=x
        object_add secret,id=s1,file=/nosuch
        object_add secret,id=s2,data=!!,format=base64
        object_add secret,id=s2,data=abc,keyid=nosuch
        qom-get /objects/s0 data
        object_add throttle-group,id=t0,x-bps-total=100
        object_add throttle-group,id=t1,x-bps-total=100,x-bps-read=4
        object_add throttle-group,id=t1,limits.bps-total-max=3
        object_add throttle-group,id=t1,limits.bogus=3
        object_add throttle-group,id=t1,x-bps-total=-4
        object_add throttle-group,id=t1,limits=3
        object_add rng-random,id=r0
        object_add rng-random,id=r1,filename=/nosuch
        object_add rng-egd,id=r3,chardev=nosuch
        object_add rng-egd,id=r3,chardev=compat_monitor0
        object_add authz-list,id=a,rules.0.match=fred,rules.0.policy=allow
        object_add authz-list,id=b,rules.1.match=fred
        object_add authz-list,id=b,rules.0.match=fred
        qom-get /objects/a rules
        object_add authz-simple,id=b
        object_add main-loop,id=l
        object_add main-loop,id=l2
        object_add cryptodev-backend-builtin,id=c,queues=2
        object_add tls-creds-psk,id=c
        object_add throttle-group,help
        object_add memory-backend-ram,help
        object_add can-bus,help
    """),
    "networks": (NONE, """
        netdev_add help
        netdev_add hubport
        netdev_add hubport,id=h0
        netdev_add hubport,id=h0,hubid=x
        netdev_add hubport,id=h0,hubid=99999999999
        netdev_add hubport,id=h0,hubid=0,bogus=1
        netdev_add hubport,id=1h,hubid=0
        netdev_add hubport,id=h0,hubid=0,netdev=nosuch
        netdev_add hubport,id=h0,hubid=0x10
        netdev_add hubport,id=h1,hubid=16
        netdev_add user,id=u0,net=10.0.3.0/24,restrict=y
        netdev_add hubport,id=h2,hubid=-1,netdev=u0
        info network
        info usernet
        set_link u0 off
        netdev_del u0
        netdev_del h0
        info network
        netdev_add user,id=u,net=bogus
        netdev_add user,id=u,ipv4=off,ipv6=off
        netdev_add user,id=u,dns=bogus
        netdev_add socket,id=s0
        netdev_add socket,id=s0,listen=bogus
        netdev_add socket,id=s0,listen=127.0.0.1:x
        netdev_add socket,id=s0,udp=127.0.0.1:1234
        netdev_add socket,id=s0,listen=127.0.0.1:0
        netdev_add socket,id=s1,connect=127.0.0.1:1
        netdev_add socket,id=s2,mcast=127.0.0.1:1234
        netdev_add socket,id=s2,fd=x
        info network
        netdev_add stream,id=x
        netdev_add netmap,id=x,ifname=y
        netdev_add bogus,id=x
        netdev_add hubport,id=h 0
        netdev_add user,id=u,net
        netdev_del ""
        set_link nosuch on
        set_link h1 maybe
        hostfwd_add tcp::1-:2
        announce_self nosuch x
    """),
    "filters": (NONE, """
        netdev_add user,id=u
        object_add filter-dump,id=f0
        object_add filter-dump,id=f0,netdev=u,file=a.pcap,maxlen=10
        object_add filter-dump,id=f1,netdev=u,file=b.pcap,queue=tx,status=off
        object_add filter-buffer,id=f2,netdev=u,interval=10
        object_add filter-buffer,id=f3,netdev=u,interval=0
        object_add filter-dump,id=f3,netdev=u,file=c.pcap,position=id=f0,insert=before
        object_add filter-replay,id=f4,netdev=u,position=head
        object_add filter-dump,id=f5,netdev=u,file=d.pcap,queue=bogus
        object_add filter-dump,id=f5,netdev=u,file=d.pcap,insert=bogus
        object_add filter-dump,id=f5,netdev=u,file=d.pcap,maxlen=-1
        info network
        qom-list /objects/f0
        qom-set /objects/f1 status on
        qom-set /objects/f1 status foo
        object_del f0
        info network
        netdev_del u
        object_del f1
        info network
    """),
    "character devices": (NONE, """
        chardev-add help
        chardev-add null,id=c0
        chardev-add null,id=c0
        chardev-add null
        chardev-add id=x
        chardev-add nosuch,id=x
        chardev-add null,help
        chardev-add null,id=x,bogus=1
        chardev-add null,id=1x
        chardev-add null,id=x,nomux
        chardev-add tty,id=t,path=/nosuch
        chardev-add ringbuf,id=r,size=4
        ringbuf_write r abcdefgh
        ringbuf_read r 10
        ringbuf_read r 10
        ringbuf_write r "a\\nb\\\\"
        ringbuf_read r 10
        ringbuf_read r 0
        ringbuf_read nosuch 1
        ringbuf_write compat_monitor0 q
        chardev-add ringbuf,id=q,size=3
        chardev-add ringbuf,id=q,size=x
        chardev-add file,id=f
        chardev-add file,id=f,path=/nosuch/x
        chardev-add file,id=f,path=out,,x
        chardev-add pipe,id=p
        chardev-add stdio,id=s
        chardev-add socket,id=s,host=127.0.0.1
        chardev-add socket,id=s,path=/nosuch
        chardev-add socket,id=s,path=s.sock,server=on,wait=off
        chardev-add null,id=l,logfile=/nosuch/l
        chardev-add null,id=n,mux=on
        chardev-add mux,id=m,chardev=nosuch
        info chardev
        chardev-remove n
        chardev-remove n-base
        chardev-remove s
        chardev-remove compat_monitor0
        chardev-remove nosuch
        chardev-change nosuch null
        chardev-change compat_monitor0 null
        chardev-change c0 null,id=c1
        chardev-change c0 bogus
        chardev-change c0 null,bogus=1
        chardev-change c0 ringbuf
        ringbuf_write c0 abc
        ringbuf_read c0 2
        chardev-change r ringbuf,size=3
        chardev-send-break c0
        chardev-send-break nosuch
    """),
    "devices of an empty machine": (NONE, """
        info qdm
        device_add help
        device_add driver=?
        device_add e1000
        device_add isa-serial
        device_add ide-hd
        device_add usb-tablet
        device_add virtio-net-device
        device_add loader,bogus=1
        device_add pc-dimm
        device_add qemu64-x86_64-cpu
        device_add VGA
        device_add hpet
        device_add pci-device
        device_add ramfb
        device_add memory-backend-ram
        device_add nosuch,id=x
        device_add e1000,id=1x
        device_add e1000,bus=nosuch
        device_add e1000,id=x,noid
        device_add
        device_add ,
        device_del x
        device_del ""
        device_del /machine
        device_del x y
        info pci
    """),
    "devices": (PC, """
        device_add e1000
        netdev_add hubport,id=h0,hubid=0
        device_add virtio-net,netdev=h0,id=v
        device_add e1000,netdev=h0
        device_add virtio-net-pci,netdev=nosuch
        device_add e1000,mac=zz
        device_add e1000,mac=52:54:00:12:34:58,id=x
        device_add rtl8139
        device_add e1000,id=x
        device_add e1000,bogus=1
        device_add e1000,addr=zz
        device_add e1000,addr=3
        device_add e1000,addr=1f.7
        device_add e1000,bus=isa.0
        device_add e1000,bootindex=1
        device_add e1000,bootindex=1
        device_add isa-serial
        device_add ide-cd
        device_add floppy
        device_add virtio-blk-pci
        device_add virtio-blk-pci,drive=nosuch
        device_add scsi-hd
        device_add lsi,id=l
        device_add scsi-hd
        info network
        info pci
        device_del v
        device_del v
        device_del /machine/peripheral/x
        device_del /machine/peripheral-anon/device[0]
        device_del nosuch
        netdev_del h0
        info network
        system_reset
        info network
        device_add e1000,id=x
        info pci
        info roms
        info mice
    """),
}  # fmt: skip

# Command lines, each followed by the same few questions.
STARTS = {
    NONE: """
        -netdev hubport,id=h0,hubid=0
        -netdev hubport,id=h0,hubid=0 -netdev hubport,id=h0,hubid=1
        -netdev hubport
        -netdev bogus,id=x
        -netdev hubport,id=x,hubid=z
        -netdev user,id=u -netdev hubport,id=h1,hubid=0,netdev=u
        -netdev user,id=u -object filter-dump,id=f,netdev=u,file=z.pcap
        -nic none
        -nic bogus
        -net none
        -net bogus
        -object iothread,id=io0
        -object iothread
        -object iothread,id=a -object iothread,id=a
        -object bogus,id=a
        -object iothread,id=a,foo=1
        -object iothread,id=a,poll-max-ns=x
        -object memory-backend-ram,id=m,size=x
        -object filter-dump,id=m,netdev=x,file=y
        -object secret,id=a
        -object iothread,id=1a
        -object help
        -chardev null,id=c0
        -chardev null,id=c0 -chardev null,id=c0
        -chardev null
        -chardev nosuch,id=x
        -chardev null,id=x,foo=1
        -chardev file,id=x
        -chardev help
        -serial null
        -serial none
        -serial bogus
        -serial chardev:c0
        -serial stdio
        -chardev null,id=c0 -serial chardev:c0
        -serial null -serial null -serial null -serial null -serial null
    """,
    PC: """
        -device e1000,id=x -device e1000,id=x
        -device e1000,netdev=zz
        -device e1000,mac=52:54:00:12:34:56 -device e1000
        -device e1000,addr=02 -device e1000,addr=2
        -netdev user,id=u -device e1000,netdev=u -device virtio-net-pci,netdev=u
        -netdev hubport,id=h0,hubid=0 -netdev hubport,id=h1,hubid=0 -device e1000,netdev=h0
        -nic user,id=q,model=rtl8139,mac=52:54:00:12:34:57 -nic user,id=z
        -nic user,model=bogus
        -nic user,mac=zz
        -nic user,foo=1
        -net nic -net user,id=u
        -net nic,model=bogus
        -net nic,netdev=u -netdev user,id=u
        -device isa-serial -chardev null,id=c -device isa-serial,chardev=c
        -chardev null,id=c -device isa-serial,chardev=c -device isa-serial,chardev=c
        -device isa-serial,chardev=zz
        -device isa-serial,foo=4
        -device isa-serial,index=4
        -serial null -rtc base=2006-06-17
    """,
}


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_is_answered_as_qemu_answers_it(name: str, hmp: str, qemu: str) -> None:
    machine, text = SESSIONS[name]
    check_session(machine, text, hmp, qemu)


@pytest.mark.parametrize(
    ("machine", "options"),
    [
        (machine, line.strip())
        for machine, text in STARTS.items()
        for line in text.strip().splitlines()
    ],
)
def test_a_command_line_has_the_effect_it_has_with_qemu(
    machine: str, options: str, hmp: str, qemu: str
) -> None:
    lines = ["info network", "info chardev", "info iothreads", "chardev-remove c0", "info pci"]
    assert run(hmp, f"{machine} {options}", lines) == run(qemu, f"{machine} {options}", lines)
