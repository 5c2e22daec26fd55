// Errors as RFC 9457 problem details.
import HTTPTypes
import JSONText

/// What went wrong, for a program (`type`, `status`, `errors`) and for a person (`title`, `detail`).
public struct Problem: Sendable {
    /// One fault in a request body.
    public struct Fault: Hashable, Sendable {
        /// A JSON pointer (RFC 6901), or the name of a parameter.
        public var pointer: String
        public var detail: String

        public init(pointer: String, detail: String) {
            self.pointer = pointer
            self.detail = detail
        }
    }

    /// A value of an extension member.
    public enum Value: Hashable, Sendable {
        case text(String)
        case integer(Int)
        case flag(Bool)
        case list([String])
        case null
    }

    public struct Extension: Hashable, Sendable {
        public var name: String
        public var value: Value

        public init(_ name: String, _ value: Value) {
            self.name = name
            self.value = value
        }
    }

    /// A URI that stays the same for this kind of problem; `about:blank` says no more than the status does.
    public var type: String
    public var title: String
    public var status: HTTPResponse.Status
    /// What to do about it.
    public var detail: String
    public var instance: String?
    public var errors: [Fault]
    public var extensions: [Extension]
    /// Fields of the response besides Content-Type: Allow, Retry-After.
    public var fields: HTTPFields

    /// - Parameter title: by default the status's own phrase, as RFC 9457 wants it with `about:blank`.
    public init(
        type: String = "about:blank", status: HTTPResponse.Status, title: String? = nil, detail: String,
        instance: String? = nil, errors: [Fault] = [], extensions: [Extension] = [], fields: HTTPFields = HTTPFields()
    ) {
        self.type = type
        self.title = title ?? status.reasonPhrase
        self.status = status
        self.detail = detail
        self.instance = instance
        self.errors = errors
        self.extensions = extensions
        self.fields = fields
    }

    public var response: Response {
        var all = fields
        all[.contentType] = "application/problem+json"
        return Response(status: status, fields: all, body: .bytes(json))
    }

    /// The document, members in the RFC's order.
    public var json: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(256)
        bytes.append(contentsOf: #"{"type":"#.utf8)
        JSONText.append(type, to: &bytes)
        Self.appendName("title", to: &bytes)
        JSONText.append(title, to: &bytes)
        Self.appendName("status", to: &bytes)
        bytes.append(contentsOf: String(status.code).utf8)
        Self.appendName("detail", to: &bytes)
        JSONText.append(detail, to: &bytes)
        if let instance {
            Self.appendName("instance", to: &bytes)
            JSONText.append(instance, to: &bytes)
        }
        if !errors.isEmpty { appendErrors(to: &bytes) }
        for member in extensions {
            Self.appendName(member.name, to: &bytes)
            Self.append(member.value, to: &bytes)
        }
        bytes.append(contentsOf: "}\n".utf8)
        return bytes
    }

    private func appendErrors(to bytes: inout [UInt8]) {
        Self.appendName("errors", to: &bytes)
        for (index, fault) in errors.enumerated() {
            bytes.append(contentsOf: index == 0 ? #"[{"pointer":"#.utf8 : #",{"pointer":"#.utf8)
            JSONText.append(fault.pointer, to: &bytes)
            Self.appendName("detail", to: &bytes)
            JSONText.append(fault.detail, to: &bytes)
            bytes.append(0x7D)
        }
        bytes.append(0x5D)
    }

    private static func appendName(_ name: String, to bytes: inout [UInt8]) {
        bytes.append(0x2C)
        JSONText.append(name, to: &bytes)
        bytes.append(0x3A)
    }

    private static func append(_ value: Value, to bytes: inout [UInt8]) {
        switch value {
        case .text(let text): JSONText.append(text, to: &bytes)
        case .integer(let number): bytes.append(contentsOf: String(number).utf8)
        case .flag(let flag): bytes.append(contentsOf: (flag ? "true" : "false").utf8)
        case .null: bytes.append(contentsOf: "null".utf8)
        case .list(let texts):
            bytes.append(0x5B)
            for (index, text) in texts.enumerated() {
                if index > 0 { bytes.append(0x2C) }
                JSONText.append(text, to: &bytes)
            }
            bytes.append(0x5D)
        }
    }
}
