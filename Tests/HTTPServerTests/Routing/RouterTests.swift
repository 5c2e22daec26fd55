// Routes, in memory.
import DispatchSockets
import HTTPTypes
import Testing

@testable import HTTPServer

@Suite struct RouterTests {
    /// Answers with the route and its parameters.
    private static let echo: Router.Handler = { request in
        let names = ["domain", "id"].compactMap { name in request.parameters[name].map { "\(name)=\($0)" } }
        return .now(Response(contentType: "text/plain", body: .text(([request.route ?? "-"] + names).joined(separator: " "))))
    }

    private let router: Router = {
        var router = Router()
        router.on(.get, "/", echo)
        router.on(.get, "/domains", echo)
        router.on(.get, "/domains/{domain}", echo)
        router.on(.get, "/domains/{domain}/messages", echo)
        router.on(.put, "/domains/{domain}/hold", echo)
        router.on(.delete, "/domains/{domain}/hold", echo)
        router.on(.get, "/domains/all/{id}", echo)
        router.on(.post, "/etrn/{domain}", echo)
        router.on(.get, "/etrn/status", echo)
        return router
    }()

    private func answer(_ method: HTTPRequest.Method, _ path: String) async -> (status: Int, text: String, allow: String?) {
        let response = await router.respond(to: Request(method: method, path: path)).value()
        guard case .bytes(let bytes) = response.body else { return (0, "", nil) }
        return (response.status.code, String(decoding: bytes, as: UTF8.self), response.fields[.allow])
    }

    @Test(arguments: [
        ("/", "/"), ("/domains", "/domains"), ("/domains?limit=3", "/domains"),
        ("/domains/a.example", "/domains/{domain} domain=a.example"),
        ("/domains/a.example/messages", "/domains/{domain}/messages domain=a.example"),
        ("/domains/all/7", "/domains/all/{id} id=7"),
        ("/domains/all/messages", "/domains/all/{id} id=messages"),
        ("/domains/all", "/domains/{domain} domain=all"),
        ("/%64omains/b%C3%BCcher.example", "/domains/{domain} domain=bücher.example"),
        ("/domains/a+b", "/domains/{domain} domain=a+b"),
        ("/domains/%25", "/domains/{domain} domain=%"),
        ("/domains/..", "/domains/{domain} domain=.."),
    ])
    func findsTheRoute(_ path: String, _ expected: String) async {
        let answer = await answer(.get, path)

        #expect(answer.status == 200)
        #expect(answer.text == expected)
    }

    @Test(arguments: [
        "/nothing", "/domains/", "/domains//messages", "/domains/a/messages/", "//", "/Domains", "/domains/a/b/c/d/e", "*", "x",
    ])
    func saysThatThereIsNothing(_ path: String) async {
        let answer = await answer(.get, path)

        #expect(answer.status == 404)
        #expect(answer.text.contains("\"status\":404"))
    }

    @Test(arguments: [
        "/domains/a%", "/domains/a%2", "/domains/%zz", "/domains/a%2Fb", "/domains/a%2fb", "/domains/%00", "/domains/%ff", "/domains/%C3",
    ])
    func refusesBadEscapes(_ path: String) async {
        #expect(await answer(.get, path).status == 400)
    }

    @Test func anotherMethodIsNotAllowed() async {
        let hold = await answer(.get, "/domains/a/hold")
        #expect(hold.status == 405)
        #expect(hold.allow == "DELETE, PUT")

        let list = await answer(.options, "/domains")
        #expect(list.status == 405)
        #expect(list.allow == "GET, HEAD")

        // The literal template decides alone, although the one with a parameter has POST.
        #expect(await answer(.post, "/etrn/status").status == 405)
    }

    @Test(arguments: ["BREW", "get", "PROPFIND"])
    func anUnknownMethodIsNotImplemented(_ name: String) async throws {
        let method = try #require(HTTPRequest.Method(rawValue: name))

        #expect(await answer(method, "/domains").status == 501)
        #expect(await answer(method, "/nothing").status == 501)
    }

    @Test func headIsAnsweredByGet() async {
        #expect(await answer(.head, "/domains").status == 200)
        #expect(await answer(.head, "/domains/a/hold").status == 405)
    }

    @Test func theServerAsAWholeTellsItsMethods() async {
        let answer = await answer(.options, "*")

        #expect(answer.status == 204)
        #expect(answer.allow == "DELETE, GET, HEAD, OPTIONS, POST, PUT")
    }

    @Test(arguments: ["a=%", "a=%4", "%zz=1", "a=%ff", (0...100).map { "a=\($0)" }.joined(separator: "&")])
    func aQueryThatCannotBeReadIsRefused(_ query: String) async {
        let response = await router.respond(to: Request(method: .get, path: "/domains", query: query)).value()

        #expect(response.status == .badRequest)
    }

    @Test func queriesKeepOrderAndDuplicates() {
        let query = QueryItems("b=2&a=x%20y+z&&b=3&flag&=v&c=1=2&%C3%BC=%C3%B6")

        #expect(query.items.map(\.name) == ["b", "a", "b", "flag", "", "c", "ü"])
        #expect(query["a"] == "x y z")
        #expect(query["b"] == "2")
        #expect(query.values("b") == ["2", "3"])
        #expect(query["flag"] == "")
        #expect(query["c"] == "1=2")
        #expect(query["ü"] == "ö")
        #expect(query["none"] == nil)
        #expect(QueryItems((0..<100).map { "a=\($0)" }.joined(separator: "&")).fault == nil)
    }

    @Test func requestsMadeByHandHaveFields() {
        let request = Request(method: .get, path: "/x?y=1", fields: [.accept: "a"])

        #expect(request.path == "/x")
        #expect(request.query["y"] == "1")
        #expect(request.field(.accept) == "a")
        #expect(request.field(.authorization) == nil)
    }
}
