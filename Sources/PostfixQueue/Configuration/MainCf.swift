// What the service must know of main.cf, as Postfix itself reads it: asked of postconf(1).

import FlushCore
import Glibc

/// The parameters of a Postfix that concern us.
public struct MainCf: Sendable, Equatable {
    /// What is asked for; an old Postfix may not know all of them.
    static let names = [
        "queue_directory", "hash_queue_names", "hash_queue_depth", "flush_service_name", "mail_version", "mail_owner", "fast_flush_domains",
        "defer_transports", "relay_domains", "transport_maps", "smtpd_etrn_restrictions", "enable_long_queue_ids",
        "parent_domain_matches_subdomains", "maximal_backoff_time", "queue_minfree", "message_size_limit", "process_id_directory",
    ]

    private static let nativeServiceName = "flush"
    private static let ownServiceName = "etrnd"

    private let values: [String: String]

    init(values: [String: String]) { self.values = values }

    /// Reads `name = value` lines, as postconf prints them.
    init(parsing text: String) {
        var values: [String: String] = [:]
        for line in text.split(separator: "\n") {
            guard let sign = line.firstIndex(of: "=") else { continue }
            let name = line[..<sign].trimmingSpaces
            let value = line[line.index(after: sign)...].trimmingSpaces
            if Self.names.contains(name) { values[name] = value }
        }
        self.values = values
    }

    /// The value of one of the parameters above, expanded; nil when Postfix does not know it.
    public subscript(name: String) -> String? { values[name] }

    /// Whether the programs of this `mail_version` expect the flush service to greet them, as they do since 3.6: an older one and we
    /// would wait for each other. Nil when the text is no version.
    public static func expectsGreeting(version: String) -> Bool? {
        let numbers = version.split(separator: ".", omittingEmptySubsequences: false).prefix(2).map { Int($0.prefix { $0.isNumber }) }
        guard numbers.count == 2, let major = numbers[0], let minor = numbers[1] else { return nil }
        return (major, minor) >= (3, 6)
    }

    public var queueDirectory: String { values["queue_directory"] ?? "" }

    /// The name of our socket below `public/`; `flush` is native flush(8)'s.
    public var flushServiceName: String { values["flush_service_name"] ?? Self.nativeServiceName }

    /// Whether Postfix's programs still ask native flush(8), as they do by default.
    public var asksNativeFlush: Bool { flushServiceName == Self.nativeServiceName }

    /// Where we listen. While Postfix's programs ask flush(8): where they will, once `deploy/postfix/setup` was run.
    public var flushSocketPath: String {
        "\(queueDirectory)/public/\(asksNativeFlush ? Self.ownServiceName : flushServiceName)"
    }

    public var layout: QueueLayout {
        let names = (values["hash_queue_names"] ?? "").split { $0 == "," || $0.isWhitespace }.map(String.init)
        return QueueLayout(queueDirectory: queueDirectory, hashedNames: Set(names), depth: Int(values["hash_queue_depth"] ?? "") ?? 1)
    }

    /// Runs postconf(1) for this configuration directory. Blocks, at most `PostfixCommand.patience`.
    public static func read(configurationDirectory: String) throws(MainCfError) -> MainCf {
        let text = try PostfixCommand.postconf.run(["-x", "-c", configurationDirectory] + names)
        let settings = MainCf(parsing: text)
        guard settings.queueDirectory.hasPrefix("/") else {
            throw MainCfError("postconf tells no queue_directory for \(configurationDirectory)")
        }
        return settings
    }
}

/// Why main.cf could not be read.
public struct MainCfError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}

extension Substring {
    fileprivate var trimmingSpaces: String {
        var text = self
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return String(text.drop { $0.isWhitespace })
    }
}
