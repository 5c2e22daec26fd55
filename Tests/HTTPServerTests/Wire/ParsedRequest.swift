// Feeds a parser and notes what came out, in a form that can be compared.
import HTTPTypes

@testable import HTTPServer

struct ParsedRequest: Equatable {
    var method: String
    var path: String
    var query = ""
    var host = "a"
    var keepsAlive = true
    var body = ""
}

enum Parsed: Equatable {
    case request(ParsedRequest)
    case refused(Int, String)

    var status: Int? {
        if case .refused(let status, _) = self { status } else { nil }
    }

    var request: ParsedRequest? {
        if case .request(let request) = self { request } else { nil }
    }
}

/// Gives the parser the portions one after the other; stops at a refusal.
func parse(portions: [[UInt8]], limits: HTTPLimits = HTTPLimits()) -> [Parsed] {
    var parser = RequestParser()
    var results: [Parsed] = []
    for portion in portions {
        let refused = portion.withUnsafeBytes { bytes in
            var from = 0
            while true {
                switch parser.advance(over: bytes, from: &from, limits: limits) {
                case .more:
                    precondition(from == bytes.count, "more was asked for with bytes left")
                    return false
                case .continueExpected: continue
                case .request(let head, let body):
                    results.append(
                        .request(
                            ParsedRequest(
                                method: head.method.rawValue, path: head.pathText, query: head.queryText, host: head.hostText,
                                keepsAlive: head.keepsAlive, body: String(decoding: body, as: UTF8.self))))
                case .refused(let refusal):
                    results.append(.refused(refusal.status.code, refusal.detail))
                    return true
                }
            }
        }
        if refused { break }
    }
    return results
}

func parse(_ text: String, limits: HTTPLimits = HTTPLimits()) -> [Parsed] {
    parse(portions: [Array(text.utf8)], limits: limits)
}
