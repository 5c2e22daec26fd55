// From method and path to a handler.
import DispatchSockets
import HTTPTypes

/// A table of routes, filled before the server starts.
public struct Router: Sendable {
    public typealias Handler = @Sendable (consuming Request) -> Answer<Response>

    private struct Route: Sendable {
        var template: String
        var parameters: [String]
        var handlers: [(method: HTTPRequest.Method, handler: Handler)] = []

        func handler(for method: HTTPRequest.Method) -> Handler? {
            for entry in handlers where entry.method == method { return entry.handler }
            return nil
        }

        /// The Allow field: HEAD comes with GET.
        var allowed: String {
            var methods = handlers.map(\.method.rawValue)
            if methods.contains("GET"), !methods.contains("HEAD") { methods.append("HEAD") }
            return methods.sorted().joined(separator: ", ")
        }
    }

    /// Methods of RFC 9110 and RFC 5789: known, so that a path without them answers 405 and not 501.
    private static let knownMethods: [HTTPRequest.Method] = [.get, .head, .post, .put, .delete, .options, .trace, .patch, .query]

    private var tree = RouteTree()
    private var routes: [Route] = []
    private var indexes: [String: Int] = [:]

    public init() {}

    /// Adds a handler. `template` begins with a slash; a segment in braces is a parameter, `/domains/{domain}`.
    ///
    /// A literal segment beats a parameter; a parameter is never empty and never contains a slash. A template that fits a path
    /// decides alone: other methods are then 405, even if another template would take them. Adding a pair twice is a mistake in
    /// the program and traps.
    public mutating func on(_ method: HTTPRequest.Method, _ template: String, _ handler: @escaping Handler) {
        let index: Int
        if let known = indexes[template] {
            index = known
        } else {
            index = routes.count
            routes.append(Route(template: template, parameters: tree.add(template, route: index)))
            indexes[template] = index
        }
        precondition(routes[index].handler(for: method) == nil, "\(method) \(template) has two handlers")
        routes[index].handlers.append((method, handler))
    }

    /// Answers the request; 404, 405, 501 and undecodable paths and queries as problems.
    ///
    /// HEAD goes to the GET handler unless it has one of its own. The body stays in the response: who writes it to a wire leaves it out.
    @Sendable public func respond(to request: consuming Request) -> Answer<Response> {
        switch tree.match(request.path) {
        case .route(let index, let values):
            let route = routes[index]
            let handler = route.handler(for: request.method) ?? (request.method == .head ? route.handler(for: .get) : nil)
            guard let handler else { return .now(refuse(request.method, route)) }
            if let fault = request.query.fault { return .now(Problem(status: .badRequest, detail: fault).response) }
            request.route = route.template
            request.parameters = PathParameters(names: route.parameters, values: values)
            return handler(request)
        case .fault(let reason):
            return .now(Problem(status: .badRequest, detail: "The path cannot be read: \(reason).").response)
        case .nothing:
            return .now(nothing(at: request))
        }
    }

    private func refuse(_ method: HTTPRequest.Method, _ route: Route) -> Response {
        guard isKnown(method) else { return unknownMethod }
        let detail = "\(route.template) has no \(method); it has \(route.allowed)."
        return Problem(status: .methodNotAllowed, detail: detail, fields: [.allow: route.allowed]).response
    }

    private func nothing(at request: Request) -> Response {
        guard isKnown(request.method) else { return unknownMethod }
        // RFC 9110, section 9.3.7: a question to the server as a whole.
        if request.path == "*", request.method == .options { return Response(status: .noContent, fields: [.allow: allMethods]) }
        return Problem(status: .notFound, detail: "There is nothing at \(Self.shortened(request.path)).").response
    }

    private var unknownMethod: Response {
        Problem(status: .notImplemented, detail: "This server does not know the method. It knows \(allMethods).").response
    }

    private var allMethods: String {
        var names = Set(routes.flatMap { $0.handlers.map(\.method.rawValue) })
        if names.contains("GET") { names.insert("HEAD") }
        names.insert("OPTIONS")
        return names.sorted().joined(separator: ", ")
    }

    private func isKnown(_ method: HTTPRequest.Method) -> Bool {
        Self.knownMethods.contains(method) || routes.contains { $0.handler(for: method) != nil }
    }

    /// Enough of a path to recognize it by.
    private static let longestEcho = 200

    private static func shortened(_ path: String) -> String {
        path.utf8.count <= longestEcho ? path : path.prefix(longestEcho) + "…"
    }
}
