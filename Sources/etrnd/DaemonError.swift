// Why the daemon could not start, with the exit status that sysexits(3) has for it.

/// What went wrong, in a sentence.
struct DaemonError: Error, CustomStringConvertible {
    enum Exit: Int32 {
        case unavailable = 69
        case system = 71
        case storage = 74
        case configuration = 78
    }

    var description: String
    var exit: Exit

    init(_ description: String, _ exit: Exit) {
        self.description = description
        self.exit = exit
    }
}
