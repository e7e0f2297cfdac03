//! What a decoder accepts at most. Bodies themselves are bounded by whoever reads them off the network.

/// Nesting of structures, lists and maps in one request or answer.
pub const MAX_DEPTH: usize = 64;

/// Elements of lists and entries of maps in one request, all together. An element takes up to a few KiB in memory
/// however short it was on the wire; the largest batch that AWS takes is 10,000 log events.
pub const MAX_ELEMENTS: usize = 20_000;

/// Parameters of one Query request.
pub const MAX_QUERY_PARAMETERS: usize = 10_000;

/// Dot-separated parts of the names of all Query parameters together: each may become a node of a tree, which takes
/// far more memory than the part did on the wire.
pub const MAX_QUERY_NAME_PARTS: usize = 50_000;

/// Dot-separated parts of one Query parameter's name: a list costs two per level. Each part is a level of a tree, which
/// is walked and dropped by recursion.
pub const MAX_QUERY_NAME_DEPTH: usize = 2 * MAX_DEPTH;

/// Violated constraints that one refusal lists.
pub const MAX_VIOLATIONS: usize = 20;

/// Characters of an offending value that a refusal quotes.
pub const MAX_QUOTED: usize = 1024;
