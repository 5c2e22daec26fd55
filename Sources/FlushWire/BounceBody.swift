// A kept report as openapi.yaml has it.

import FlushCore
import JSONText

extension KeptReport {
    public func write(to writer: inout JSONWriter) {
        writer.object { json in
            json.field("queue_id", id.description)
            json.field("original_queue_id", original.description)
            json.field("arrival", arrival)
            json.field("size", size)
            json.field("sender", sender)
            json.name("recipients")
            json.array { json in
                for recipient in recipients { json.value(recipient) }
            }
            json.field("reason", reason)
            if let content { json.field("report", content) }
        }
    }
}
