//! Sentences that hold for any text and any graph.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn sizes_are_read_or_refused_whatever_they_are(text in "[0-9. vcpuGB\\-+\\PC]{0,24}") {
        if let Ok(cpu) = parse_cpu(&text) {
            prop_assert!(CPU_UNITS.contains(&cpu.0));
        }
        if let Ok(memory) = parse_memory(&text) {
            prop_assert!(memory.0 > 0);
        }
    }

    #[test]
    fn units_and_virtual_cpus_are_the_same_amounts(quarters in 1u32..768) {
        let as_vcpu = format!("{}.{:02} vCPU", quarters / 4, quarters % 4 * 25);
        prop_assert_eq!(parse_cpu(&as_vcpu), parse_cpu(&(quarters * 256).to_string()));
    }

    /// Containers that depend only on those before them pass in any order; one edge back makes a cycle.
    #[test]
    fn a_cycle_is_found_wherever_it_is(edges in proptest::collection::btree_set((0usize..9, 0usize..9), 0..20), back in 0usize..9) {
        let mut definition = definition();
        definition.containers = (0..9).map(|n| container(&format!("c{n}"))).collect();
        for (one, other) in edges.iter().filter(|(one, other)| one != other) {
            let (early, late) = (one.min(other), one.max(other));
            definition.containers[*late].volumes_from.push(from(&format!("c{early}")));
        }
        definition.containers[8].volumes_from.push(from("c0"));
        prop_assert_eq!(check(&definition), Ok(()));
        definition.containers[0].depends_on.push(depend("c8", Condition::Start));
        prop_assert!(check(&definition).is_err());
        definition.containers.rotate_left(back);
        prop_assert!(check(&definition).is_err());
    }
}
