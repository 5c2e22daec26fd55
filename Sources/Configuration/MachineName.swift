// This machine's name, for the default of `myhostname`.

import Glibc

enum MachineName {
    /// The host name, or `localhost` when it is none that could stand in a HELO.
    static var current: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "localhost" }
        let name = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return (try? ParameterValue(name, as: .hostName)) == nil ? "localhost" : name
    }
}
