// Finds the template that fits a path.

/// Templates like `/domains/{domain}/messages`. A literal segment beats a parameter.
struct RouteTree: Sendable {
    enum Match: Equatable {
        case route(Int, values: [String])
        case nothing
        /// The path cannot be decoded, and why.
        case fault(String)
    }

    private struct Node: Sendable {
        var literals: [String: Int] = [:]
        var parameter: Int?
        var route: Int?
    }

    private var nodes = [Node()]
    /// Templates without parameters, by the whole path: one look-up for most requests.
    private var plain: [String: Int] = [:]
    private var longest = 0

    /// Adds a template and returns the names of its parameters. Two templates may not differ in those names only.
    mutating func add(_ template: String, route: Int) -> [String] {
        precondition(template.hasPrefix("/"), "a template begins with a slash: \(template)")
        let segments = template.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        longest = max(longest, segments.count)
        var names: [String] = []
        var at = 0
        for segment in segments {
            if segment.hasPrefix("{"), segment.hasSuffix("}") {
                names.append(String(segment.dropFirst().dropLast()))
                at = child(of: at, \.parameter)
            } else {
                at = child(of: at, \.literals[String(segment)])
            }
        }
        precondition(nodes[at].route == nil, "a second template for the paths of \(template)")
        nodes[at].route = route
        if names.isEmpty { plain[template] = route }
        return names
    }

    private mutating func child(of parent: Int, _ slot: WritableKeyPath<Node, Int?>) -> Int {
        if let existing = nodes[parent][keyPath: slot] { return existing }
        nodes.append(Node())
        nodes[parent][keyPath: slot] = nodes.count - 1
        return nodes.count - 1
    }

    func match(_ path: String) -> Match {
        if let route = plain[path] { return .route(route, values: []) }
        guard path.utf8.first == 0x2F else { return .nothing }
        var segments: [String] = []
        // By bytes: what people would call a character costs a look into Unicode's tables each.
        for raw in path.utf8.dropFirst().split(separator: 0x2F, maxSplits: longest, omittingEmptySubsequences: false) {
            switch PercentCoding.decode(Substring(raw), in: .pathSegment) {
            case .text(let text): segments.append(text)
            case .fault(let reason): return .fault(reason)
            }
        }
        guard segments.count <= longest else { return .nothing }
        var values: [String] = []
        guard let route = descend(from: 0, segments[...], &values) else { return .nothing }
        return .route(route, values: values)
    }

    /// Tries at most two ways a segment, and no more of them than there are templates.
    private func descend(from node: Int, _ segments: ArraySlice<String>, _ values: inout [String]) -> Int? {
        guard let segment = segments.first else { return nodes[node].route }
        let rest = segments.dropFirst()
        if let next = nodes[node].literals[segment], let route = descend(from: next, rest, &values) { return route }
        guard let next = nodes[node].parameter, !segment.isEmpty else { return nil }
        values.append(segment)
        if let route = descend(from: next, rest, &values) { return route }
        values.removeLast()
        return nil
    }
}
