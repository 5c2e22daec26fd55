// What the daemon says before and besides its log, and what it is given by its surroundings.

import Glibc

enum Console {
    /// A line on standard error, in one write so that lines of several threads do not mix.
    static func tell(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
