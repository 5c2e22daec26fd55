// The encoding in which Postfix's programs talk to each other: name NUL value NUL …, an empty name at the end. No sockets.

/// A list of attributes, in the order in which it travels.
struct AttributeList: Equatable, Sendable {
    struct Attribute: Equatable, Sendable {
        var name: String
        var value: String
    }

    var attributes: [Attribute]

    init(_ attributes: [Attribute]) { self.attributes = attributes }

    init(_ pairs: KeyValuePairs<String, String>) {
        attributes = pairs.map { Attribute(name: $0.key, value: $0.value) }
    }

    /// As it travels. Names and values must not contain NUL, which nothing can escape.
    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        for attribute in attributes {
            precondition(!attribute.name.isEmpty && !attribute.name.utf8.contains(0) && !attribute.value.utf8.contains(0))
            bytes += attribute.name.utf8
            bytes.append(0)
            bytes += attribute.value.utf8
            bytes.append(0)
        }
        bytes.append(0)
        return bytes
    }
}

/// Reads one list from bytes as they come.
struct AttributeListParser: Sendable {
    /// The longest request that means anything has a site and a queue ID of 255 bytes each.
    static let maximumBytes = 2_048
    static let maximumAttributes = 16

    enum Progress: Equatable, Sendable {
        /// The list is not complete yet.
        case more
        case complete(AttributeList)
        /// The first string has one character, which no attribute's name has: a trigger, as master(8) sends it.
        case trigger(UInt8)
        /// The bytes are no list, or one that is too long.
        case refused
    }

    private var bytes: [UInt8] = []
    private var fieldStart = 0
    private var name: String?
    private var attributes: [AttributeList.Attribute] = []

    /// Takes bytes. What follows a complete list is dropped: a connection carries one request.
    mutating func take(_ span: RawSpan) -> Progress {
        var next = bytes.count
        guard span.byteCount <= Self.maximumBytes - bytes.count else {
            // The list may be complete within the bound; only what must be kept is taken.
            let room = Self.maximumBytes - bytes.count
            span.extracting(0..<room).withUnsafeBytes { bytes.append(contentsOf: $0) }
            let progress = scan(&next)
            return progress == .more ? .refused : progress
        }
        span.withUnsafeBytes { bytes.append(contentsOf: $0) }
        return scan(&next)
    }

    private mutating func scan(_ next: inout Int) -> Progress {
        while next < bytes.count {
            defer { next += 1 }
            guard bytes[next] == 0 else { continue }
            let field = bytes[fieldStart..<next]
            fieldStart = next + 1
            if let progress = end(field) { return progress }
        }
        return .more
    }

    /// Takes a string that a NUL has ended; nil when the list goes on.
    private mutating func end(_ field: ArraySlice<UInt8>) -> Progress? {
        guard let text = String(validating: field, as: UTF8.self) else { return .refused }
        if let name {
            self.name = nil
            attributes.append(.init(name: name, value: text))
            return nil
        }
        if text.isEmpty { return .complete(AttributeList(attributes)) }
        if attributes.isEmpty, field.count == 1, let first = field.first { return .trigger(first) }
        guard attributes.count < Self.maximumAttributes else { return .refused }
        name = text
        return nil
    }
}
