//! What FARGATE and the other launch types take.

use super::*;

#[test]
fn fargate_has_74_sizes() {
    let accepts = |cpu, memory| {
        check(&TaskDefinition { cpu: Some(CpuUnits(cpu)), memory: Some(MemoryMib(memory)), ..fargate() }).is_ok()
    };
    let cpus = [256, 512, 1024, 2048, 4096, 8192, 16384, 32768];
    let memories = (512..=262_144).step_by(512);
    let sizes: Vec<(u32, u32)> =
        cpus.iter().flat_map(|cpu| memories.clone().map(move |memory| (*cpu, memory))).collect();
    assert_eq!(sizes.iter().filter(|(cpu, memory)| accepts(*cpu, *memory)).count(), 74);
    for (cpu, memory) in [(1024, 1024), (2048, 17408), (8192, 18432), (16384, 33792), (256, 1536), (512, 512)] {
        assert!(!accepts(cpu, memory), "{cpu} / {memory}");
    }
    check_edits(
        fargate,
        &[(
            |d| {
                d.cpu = Some(CpuUnits(1024));
                d.memory = Some(MemoryMib(1024));
            },
            "No Fargate configuration exists for given values: 1024 CPU, 1024 memory. See the Amazon ECS documentation \
             for the valid values.",
        )],
    );
}

#[test]
fn what_fargate_refuses() {
    check_edits(
        fargate,
        &[
            (|d| d.network_mode = NetworkMode::Bridge, "Fargate only supports network mode ‘awsvpc’."),
            (|d| d.cpu = None, "Fargate requires that 'cpu' be defined at the task level."),
            (|d| d.memory = None, "Fargate requires that 'memory' be defined at the task level."),
            (
                |d| d.containers[0].image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/web:1".into(),
                "Fargate requires task definition to have execution role ARN to support ECR images.",
            ),
            (
                |d| d.containers[0].log_configuration = awslogs(&[("awslogs-stream-prefix", "web")]),
                "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
            ),
            (
                |d| {
                    d.execution_role_arn = Some("arn:aws:iam::000000000000:role/execution".into());
                    d.containers[0].log_configuration = awslogs(&[]);
                },
                "Log driver awslogs requires options: awslogs-stream-prefix",
            ),
            (
                |d| {
                    d.execution_role_arn = Some("arn:aws:iam::000000000000:role/execution".into());
                    d.containers[0].log_configuration = awslogs(&[("awslogs-stream-prefix", "web")]);
                },
                "",
            ),
            (|d| d.placement_constraints = vec!["attribute:a exists".into()], "placement constraints"),
            (|d| d.volumes = vec![volume("v", None)], ""),
            (|d| d.volumes = vec![volume("v", Some("/srv"))], "'sourcePath'"),
            (|d| d.containers[0].privileged = Some(true), "'privileged'"),
            (|d| d.containers[0].privileged = Some(false), ""),
            (|d| d.containers[0].dns_servers = vec!["10.0.0.2".into()], "'dnsServers'"),
            (|d| d.containers[0].dns_search_domains = vec!["a.b".into()], "'dnsSearchDomains'"),
            (|d| d.containers[0].gpu_count = 1, "'resourceRequirements'"),
            (|d| d.containers[0].ulimits = vec![ulimit("nofile", 1, 2)], ""),
            (|d| d.containers[0].ulimits = vec![ulimit("core", 1, 2)], "only supports the ulimit 'nofile'"),
            (|d| d.containers[0].stop_timeout = Some(120), ""),
            (|d| d.containers[0].stop_timeout = Some(121), "'stopTimeout'"),
            (|d| d.containers[0].start_timeout = Some(1), "'startTimeout'"),
            (|d| d.containers[0].linux_parameters = linux(|l| l.capabilities_add = vec!["SYS_PTRACE".into()]), ""),
            (|d| d.containers[0].linux_parameters = linux(|l| l.capabilities_add = vec!["CHOWN".into()]), "SYS_PTRACE"),
            (|d| d.containers[0].linux_parameters = linux(|l| l.shared_memory_size = Some(64)), "'sharedMemorySize'"),
            (
                |d| {
                    d.containers[0].linux_parameters = linux(|l| {
                        l.tmpfs = vec![Tmpfs { container_path: "/tmp".into(), size: 16, mount_options: vec![] }];
                    });
                },
                "",
            ),
            (|d| d.ephemeral_storage = Some(20), "EphemeralStorage size should be at least 21"),
            (|d| d.ephemeral_storage = Some(21), ""),
            (|d| d.ephemeral_storage = Some(200), ""),
            (|d| d.ephemeral_storage = Some(201), "EphemeralStorage size should be at most 200"),
        ],
    );
}

#[test]
fn a_definition_suits_what_it_does_not_ask_for() {
    use LaunchType::{Ec2, External, Fargate};
    let cases: [(Edit, &[LaunchType]); 3] = [
        (|_| {}, &[Ec2, Fargate]),
        (|d| d.network_mode = NetworkMode::Bridge, &[Ec2, External]),
        (|d| d.containers[0].privileged = Some(true), &[Ec2]),
    ];
    for (edit, expected) in cases {
        let mut definition = fargate();
        edit(&mut definition);
        assert_eq!(compatibilities(&definition), expected);
    }
    check_edits(
        definition,
        &[(
            |d| {
                d.network_mode = NetworkMode::Awsvpc;
                d.requires_compatibilities = vec![External];
            },
            "external launch type",
        )],
    );
}
