// A file as the disk has it, and who may do what with it.

/// What stat(2) told of a path.
struct FileFacts: Equatable, Sendable {
    enum Kind: Equatable, Sendable {
        case missing
        /// It could not even be looked at; the text says why.
        case hidden(String)
        case directory, regular, socket, fifo, other
    }

    enum Access: UInt32, Sendable {
        case search = 1
        case write = 2
        case read = 4
    }

    var path: String
    var kind: Kind
    /// Permission bits only.
    var mode: UInt32 = 0
    var owner: UInt32 = 0
    var group: UInt32 = 0
    /// The owner's name, or the number as text when it has none.
    var ownerName = "root"

    /// Whether the permission bits give somebody all of these; ACLs are not looked at.
    func gives(_ accesses: [Access], to identity: Identity) -> Bool {
        guard identity.user != 0 else { return true }
        let wanted = accesses.reduce(0) { $0 | $1.rawValue }
        // The first that fits decides, also when it gives less than a later one would.
        let shift: UInt32 = owner == identity.user ? 6 : identity.groups.contains(group) ? 3 : 0
        return mode >> shift & wanted == wanted
    }

    /// The path with what decides who may do what.
    var described: String { "\(path) (owner \(ownerName), mode \(modeText))" }

    /// As chmod(1) takes it.
    var modeText: String {
        let digits = String(mode, radix: 8)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}

/// A user with its groups.
struct Identity: Equatable, Sendable {
    var user: UInt32
    var name: String
    var groups: Set<UInt32> = []
}
