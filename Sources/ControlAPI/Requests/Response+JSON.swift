// How endpoints answer.

import HTTPServer
import HTTPTypes
import JSONText

extension Response {
    static func json(_ status: HTTPResponse.Status = .ok, fields: HTTPFields = HTTPFields(), _ write: (inout JSONWriter) -> Void) -> Response {
        // A flush has room in it.
        var writer = JSONWriter(capacity: 1_024)
        write(&writer)
        writer.endLine()
        var all = fields
        all[.contentType] = "application/json"
        return Response(status: status, fields: all, body: .bytes(writer.bytes))
    }

    /// A page of a list, with the way to the next one.
    ///
    /// - Parameter next: the next page's cursor, nil on the last page.
    static func page<Item>(
        _ name: StaticString, _ items: some Sequence<Item>, next: String?, of request: Request, _ write: (Item, inout JSONWriter) -> Void
    ) -> Response {
        var fields = HTTPFields()
        if let next { fields[.link] = "<\(request.path)?\(request.query.replacingCursor(with: next))>; rel=\"next\"" }
        return json(fields: fields) { json in
            json.object { json in
                json.name(name)
                json.array { json in
                    for item in items { write(item, &json) }
                }
                json.field("next_cursor", next)
            }
        }
    }

    static let noContent = Response(status: .noContent)
}

extension QueryItems {
    /// The same query for the page that begins at `cursor`; cursors need no escapes.
    fileprivate func replacingCursor(with cursor: String) -> String {
        let others = raw.split(separator: "&").filter { !$0.hasPrefix("cursor=") }
        return (others + ["cursor=\(cursor)"]).joined(separator: "&")
    }
}

extension HTTPField.Name {
    static var link: HTTPField.Name { HTTPField.Name("Link") ?? .location }
}
