// Destinations as openapi.yaml has them.

import FlushCore
import JSONText

extension DomainSummary {
    public func write(to writer: inout JSONWriter) { writer.object { writeMembers(to: &$0, ageBuckets: nil) } }

    fileprivate func writeMembers(to json: inout JSONWriter, ageBuckets: [Int]?) {
        json.field("domain", domain.description)
        json.field("domain_unicode", domain.unicode)
        json.field("mode", mode.rawValue)
        json.field("state", state.rawValue)
        json.field("messages", messages)
        json.field("bytes", bytes)
        json.field("oldest_arrival", oldestArrival)
        if let ageBuckets {
            json.name("age_buckets")
            json.object { json in
                for (bucket, name) in zip(ageBuckets, DomainDetail.ageBucketNames) { json.field(name, bucket) }
            }
        }
        json.field("last_reason", lastReason)
        json.name("last_flush")
        if let lastFlush {
            json.object { json in
                json.field("id", lastFlush.id.description)
                json.field("at", lastFlush.at)
                json.field("state", lastFlush.state.rawValue)
            }
        } else {
            json.value(nil)
        }
    }
}

extension DomainDetail {
    /// The names of `ageBucketMinutes` and of the bucket beyond.
    public static let ageBucketNames: [StaticString] = ["5m", "10m", "20m", "40m", "80m", "160m", "320m", "640m", "1280m", "1280m+"]

    public func write(to writer: inout JSONWriter) { writer.object { summary.writeMembers(to: &$0, ageBuckets: ageBuckets) } }
}
