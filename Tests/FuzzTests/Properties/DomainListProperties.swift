// Lists of domains: bounded work, and the first match decides, whatever stands around it.

@testable import FlushCore

enum DomainListProperties {
    private static let domains = ["branch.example", "a.branch.example", "x.a.branch.example", "example", "other.test", "_tcp.other.test"]
        .compactMap { DomainName($0) }

    /// An input is a list, and behind each line `@/path` the file of that name.
    static func check(_ input: [UInt8]) throws {
        let text = String(decoding: input, as: UTF8.self)
        var files: [String: String] = [:]
        var name: String?
        var list = ""
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("@/") {
                name = String(line.dropFirst())
                files[String(line.dropFirst())] = ""
            } else if let name {
                files[name, default: ""] += "\(line)\n"
            } else {
                list += "\(line)\n"
            }
        }
        for mode in [DomainList.Mode.parentDomains, .exact] { try checkList(list, files, mode) }
    }

    private static func checkList(_ text: String, _ files: [String: String], _ mode: DomainList.Mode) throws {
        let (list, reads) = parse(text, files, mode)
        try require(reads <= DomainListParser.maximumFiles, "\(reads) files were read")
        try require(list.warnings.count <= DomainList.maximumWarnings, "\(list.warnings.count) warnings")
        for warning in list.warnings { try requirePlain(warning, "a warning") }
        for domain in list.literalDomains {
            try require(list.match(domain) { _ in false } != .no, "\(domain) is listed and does not match")
        }
        try require(Set(list.literalDomains).count, equals: list.literalDomains.count, "domains listed twice")
        guard !list.isEmpty else {
            for domain in domains { try require(list.match(domain) { _ in true }, equals: .no, "an empty list matches") }
            return
        }
        try checkFirstMatchDecides(text, files, mode, list)
    }

    private static func checkFirstMatchDecides(
        _ text: String, _ files: [String: String], _ mode: DomainList.Mode, _ list: DomainList
    ) throws {
        let (permitted, _) = parse("static:all \(text)", files, mode)
        let (refused, _) = parse("!static:all \(text)", files, mode)
        // Said twice it says the same, but for a brace or a comment that swallows the second half, and for the bound on files.
        // By bytes, as the list is read: a brace and a mark that is joined to it are one character.
        let isDivisible = !text.utf8.contains { "{}#/".utf8.contains($0) }
        let twice = isDivisible ? parse("\(text) \(text)", files, mode).list : list
        for domain in domains + list.literalDomains.prefix(8) {
            try require(permitted.match(domain) { _ in false }, equals: .yes, "behind static:all")
            try require(refused.match(domain) { _ in false }, equals: .no, "behind !static:all")
            for store in [true, false] {
                try require(twice.match(domain) { _ in store }, equals: list.match(domain) { _ in store }, "\(domain), and in the list said twice")
            }
        }
    }

    private static func parse(_ text: String, _ files: [String: String], _ mode: DomainList.Mode) -> (list: DomainList, reads: Int) {
        var reads = 0
        let list = DomainList(parsing: text, mode: mode) { (path) throws(DomainList.UnreadableFile) in
            reads += 1
            guard let file = files[path] else { throw DomainList.UnreadableFile(reason: "there is no such file") }
            return file
        }
        return (list, reads)
    }
}
