//! What a container asks of the kernel and of the files around it.

use super::*;

#[test]
fn what_the_kernel_is_asked_for() {
    check_edits(
        definition,
        &[
            (|d| d.containers[0].ulimits = vec![ulimit("nofile", 1024, 2048), ulimit("core", -1, -1)], ""),
            (|d| d.containers[0].ulimits = vec![ulimit("files", 1, 1)], "Invalid ulimit name 'files'"),
            (|d| d.containers[0].ulimits = vec![ulimit("nofile", 2, 1)], "soft limit cannot be greater"),
            (|d| d.containers[0].ulimits = vec![ulimit("nofile", -1, 1)], "soft limit cannot be greater"),
            (|d| d.containers[0].ulimits = vec![ulimit("nofile", -5, 1)], "cannot be negative"),
            (|d| d.containers[0].ulimits = vec![ulimit("nofile", 1, 1); 2], "set more than once"),
            (|d| d.containers[0].linux_parameters = linux(|l| l.capabilities_drop = vec!["ALL".into()]), ""),
            (|d| d.containers[0].linux_parameters = linux(|l| l.capabilities_add = vec!["NET_ADMIN".into()]), ""),
            (
                |d| d.containers[0].linux_parameters = linux(|l| l.capabilities_add = vec!["CAP_NET_ADMIN".into()]),
                "Invalid capability 'CAP_NET_ADMIN'",
            ),
            (
                |d| {
                    d.containers[0].linux_parameters = linux(|l| {
                        let mount_options = vec!["noexec".into(), "mode=1777".into()];
                        l.tmpfs = vec![Tmpfs { container_path: "/tmp".into(), size: 16, mount_options }];
                    });
                },
                "",
            ),
            (
                |d| {
                    d.containers[0].linux_parameters = linux(|l| {
                        l.tmpfs = vec![Tmpfs { container_path: "tmp".into(), size: 16, mount_options: vec![] }];
                    });
                },
                "Invalid tmpfs path",
            ),
            (
                |d| {
                    d.containers[0].linux_parameters = linux(|l| {
                        l.tmpfs = vec![Tmpfs { container_path: "/tmp".into(), size: 0, mount_options: vec![] }];
                    });
                },
                "Invalid tmpfs size",
            ),
            (
                |d| {
                    d.containers[0].linux_parameters = linux(|l| {
                        let mount_options = vec!["mode=1,size=1g".into()];
                        l.tmpfs = vec![Tmpfs { container_path: "/tmp".into(), size: 1, mount_options }];
                    });
                },
                "Invalid tmpfs mount option",
            ),
            (|d| d.containers[0].linux_parameters = linux(|l| l.shared_memory_size = Some(0)), "'sharedMemorySize'"),
            (
                |d| {
                    d.containers[0].linux_parameters = linux(|l| {
                        let permissions = vec!["execute".into()];
                        l.devices = vec![Device { host_path: "/dev/fuse".into(), container_path: None, permissions }];
                    });
                },
                "Invalid device permission 'execute'",
            ),
            (|d| d.containers[0].system_controls = vec![("net.core.somaxconn".into(), "1024".into())], ""),
            (|d| d.containers[0].system_controls = vec![("kernel.shmmax".into(), "1024".into())], ""),
            (
                |d| d.containers[0].system_controls = vec![("kernel.panic".into(), "1".into())],
                "Invalid system control 'kernel.panic'",
            ),
            (
                |d| d.containers[0].system_controls = vec![("net.../../kernel/panic".into(), "1".into())],
                "Invalid system control",
            ),
            (
                |d| d.containers[0].system_controls = vec![("net.core.somaxconn".into(), "1".into()); 2],
                "set more than once",
            ),
            (
                |d| {
                    d.network_mode = NetworkMode::Host;
                    d.containers[0].system_controls = vec![("net.core.somaxconn".into(), "1".into())];
                },
                "networkMode=host",
            ),
            (|d| d.containers[0].hostname = Some("web-1.local".into()), ""),
            (|d| d.containers[0].hostname = Some("web 1".into()), "Invalid hostname 'web 1'"),
            (|d| d.containers[0].extra_hosts = vec![("db".into(), "fd00::1".into())], ""),
            (|d| d.containers[0].extra_hosts = vec![("db".into(), "10.0.0".into())], "Invalid IP address '10.0.0'"),
            (|d| d.containers[0].extra_hosts = vec![("a\n1.1.1.1 b".into(), "10.0.0.1".into())], "Invalid host name"),
            (|d| d.containers[0].dns_servers = vec!["10.0.0.2\nsearch x".into()], "Invalid IP address"),
            (|d| d.containers[0].dns_search_domains = vec!["a b".into()], "Invalid host name 'a b'"),
            (|d| d.containers[0].working_directory = Some("app".into()), "'workingDirectory'"),
            (|d| d.containers[0].environment = vec![("A=B".into(), "1".into())], "Invalid environment variable name"),
            (
                |d| {
                    d.network_mode = NetworkMode::Awsvpc;
                    d.containers[0].hostname = Some("web".into());
                },
                "'hostname' is not supported",
            ),
            (
                |d| {
                    d.network_mode = NetworkMode::Awsvpc;
                    d.containers[0].extra_hosts = vec![("db".into(), "10.0.0.1".into())];
                },
                "'extraHosts' is not supported",
            ),
        ],
    );
}
