// Standard output and standard error, and what is known of the terminal.

import CommandText
import Configuration
import Glibc
import JSONText

enum Console {
    /// What the command was called.
    static let name = CommandLine.arguments.first?.split(separator: "/").last.map(String.init) ?? "etrnctl"

    static let outIsTerminal = isatty(STDOUT_FILENO) == 1
    static let errorIsTerminal = isatty(STDERR_FILENO) == 1

    /// Colour on a terminal, unless NO_COLOR is set (to anything) or the terminal is dumb.
    static func style(onTerminal isTerminal: Bool) -> Style {
        let variables = ProcessEnvironment.variables
        return Style(usesColour: isTerminal && (variables["NO_COLOR"] ?? "").isEmpty && variables["TERM"] != "dumb")
    }

    static var style: Style { style(onTerminal: outIsTerminal) }

    /// The terminal's width; what fits everywhere when there is none.
    static var width: Int {
        var size = winsize()
        guard outIsTerminal, ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col >= 40 else { return Table.usualWidth }
        return Int(size.ws_col)
    }

    static func show(_ lines: [String]) { for line in lines { put(line + "\n", to: STDOUT_FILENO) } }

    static func show(_ write: (inout JSONWriter) -> Void) {
        var writer = JSONWriter()
        write(&writer)
        writer.endLine()
        put(writer.bytes, to: STDOUT_FILENO)
    }

    static func complain(_ line: String) {
        let style = style(onTerminal: errorIsTerminal)
        put("\(style.bad("\(name):")) \(safe(line))\n", to: STDERR_FILENO)
    }

    static func put(_ text: String, to descriptor: CInt) { put(Array(text.utf8), to: descriptor) }

    /// What cannot be written has no reader.
    private static func put(_ bytes: [UInt8], to descriptor: CInt) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 || (count < 0 && errno == EINTR) else { return }
            rest = rest.dropFirst(max(0, count))
        }
    }
}
