// A message as openapi.yaml has it.

import FlushCore
import JSONText

extension MessageDescription {
    /// - Parameter withHistory: in the list of a domain's messages the history is left out.
    public func write(to writer: inout JSONWriter, withHistory: Bool) {
        writer.object { json in
            json.field("queue_id", id.description)
            json.field("place", place.wireName)
            json.field("arrival", arrival)
            json.field("size", size)
            json.field("sender", sender)
            json.name("recipients")
            json.array { json in
                for recipient in recipients {
                    json.object { json in
                        json.field("address", recipient.address)
                        json.field("state", recipient.state.rawValue)
                        json.field("reason", recipient.reason)
                    }
                }
            }
            json.field("reason", recipients.last { $0.state == .pending && $0.reason != nil }?.reason)
            json.field("next_attempt", nextAttempt)
            if withHistory { writeHistory(to: &json) }
        }
    }

    private func writeHistory(to json: inout JSONWriter) {
        json.name("history")
        json.array { json in
            for note in history {
                json.object { json in
                    json.field("at", note.at)
                    json.field("recipient", note.recipient)
                    json.field("result", note.result)
                    json.field("text", note.text)
                }
            }
        }
    }
}

extension MessagePlace {
    init?(wireName: String) {
        guard let place = [Self.deferred, .inDelivery, .held].first(where: { $0.wireName == wireName }) else { return nil }
        self = place
    }

    public var wireName: String {
        switch self {
        case .deferred: "deferred"
        case .inDelivery: "in_delivery"
        case .held: "held"
        }
    }
}
