// Why the bytes of a client are not a request this server can take.
import HTTPTypes

/// After a refusal nobody knows where the next request would begin, so the connection ends with it.
struct RequestRefusal: Error, Equatable, Sendable {
    var status: HTTPResponse.Status
    var detail: String

    init(_ status: HTTPResponse.Status, _ detail: String) {
        self.status = status
        self.detail = detail
    }

    static func badRequest(_ detail: String) -> RequestRefusal { RequestRefusal(.badRequest, detail) }

    /// The n-th line of the head is wrong; the request line is line 1.
    static func badLine(_ number: Int, _ detail: String) -> RequestRefusal {
        RequestRefusal(.badRequest, "Line \(number) of the request head: \(detail)")
    }

    static func targetTooLong(_ limits: HTTPLimits) -> RequestRefusal {
        RequestRefusal(.uriTooLong, "The request target may have at most \(limits.maximumTarget) bytes.")
    }

    static func headTooLong(_ limits: HTTPLimits) -> RequestRefusal {
        RequestRefusal(.requestHeaderFieldsTooLarge, "Request line and fields may have at most \(limits.maximumHead) bytes.")
    }

    static func tooManyFields(_ limits: HTTPLimits) -> RequestRefusal {
        RequestRefusal(.requestHeaderFieldsTooLarge, "A request may have at most \(limits.maximumFields) fields.")
    }

    static func bodyTooLong(_ limits: HTTPLimits) -> RequestRefusal {
        RequestRefusal(.contentTooLarge, "A request body may have at most \(limits.maximumBody) bytes.")
    }
}
