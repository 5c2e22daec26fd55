// Lists of any length out of an API that answers pages.

import FlushClient
import FlushWire
import JSONText

/// As many entries as are wanted, page by page, and where the rest begins.
func collect<Item: Sendable>(
    _ limit: Int, _ ask: (_ cursor: String?, _ limit: Int) async throws(FlushClientError) -> AnswerPage<Item>
) async throws(FlushClientError) -> (items: [Item], next: String?) {
    var items: [Item] = []
    var cursor: String?
    repeat {
        let page = try await ask(cursor, min(APIClient.longestPage, limit - items.count))
        items += page.items
        cursor = page.items.isEmpty ? nil : page.next
    } while cursor != nil && items.count < limit
    return (items, cursor)
}

/// A list as the API answers it.
func showList<Item>(_ name: StaticString, _ items: [Item], next: String?, _ write: (Item, inout JSONWriter) -> Void) {
    Console.show { json in
        json.object { json in
            json.name(name)
            json.array { json in for item in items { write(item, &json) } }
            json.field("next_cursor", next)
        }
    }
}

/// What to say below a list that goes on.
func more(_ next: String?, _ shown: Int) -> [String] { next == nil ? [] : ["(only the first \(shown) are shown; --limit shows more)"] }
