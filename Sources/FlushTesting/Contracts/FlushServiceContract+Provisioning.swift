// What every flush service must do with relay domains.

import FlushCore

extension FlushServiceContract {
    private static let hop = Samples.relayDomain("hop.example").nextHop

    private static func draft(
        _ comment: String = "", owner: String = "", delivery: RelayDomain.Delivery = .normal, state: RelayDomain.State = .active
    ) -> RelayDomainDraft {
        RelayDomainDraft(nextHop: hop, delivery: delivery, state: state, comment: comment, owner: owner)
    }

    private static func put(
        _ draft: RelayDomainDraft, _ domain: DomainName, if conditions: [VersionCondition] = [], _ trial: FlushServiceTrial
    ) async throws(FlushError) -> (relayDomain: RelayDomain, isNew: Bool) {
        try await trial.service.putRelayDomain(draft, for: domain, by: FlushServiceTrial.asker, if: conditions)
    }

    private static func replace(
        _ drafts: [DomainName: RelayDomainDraft], maximumRemovals: Int? = nil, dryRun: Bool = false, _ trial: FlushServiceTrial
    ) async throws(FlushError) -> RelayDomainDifference {
        try await trial.service.replaceRelayDomains(
            drafts, owner: "me & co", by: FlushServiceTrial.asker, maximumRemovals: maximumRemovals, dryRun: dryRun)
    }

    static let provisioning: [Case] = [
        Case("a relay domain is new once, and the same stays the same") { open in
            let trial = try await open()
            let wanted = draft("ship \"Ä\", 50 %\\", owner: "me", delivery: .etrnOnly, state: .draining)

            let first = try await put(wanted, fast, trial)
            let second = try await put(wanted, fast, trial)
            let third = try await put(draft("other"), fast, trial)

            try demand([first.isNew, second.isNew, third.isNew], is: [true, false, false], "new")
            try demand(second.relayDomain, is: first.relayDomain, "the unchanged")
            try demand(first.relayDomain.comment, is: wanted.comment, "comment")
            try demand(third.relayDomain.version, is: 2, "version")
            try await demand(trial.core.relayDomain(fast), is: third.relayDomain, "in the core")
            try await demand(trial.service.relayDomain(fast), is: third.relayDomain, "asked for")
        },
        Case("conditions on the version hold or do not, whatever they are") { open in
            let trial = try await open()
            let tag = try await put(draft("first"), fast, trial).relayDomain.tag
            let conditions: [[VersionCondition]] = [
                [.exists], [.absent], [.oneOf([tag])], [.oneOf(["other"])], [.oneOf([])], [.oneOf(["other", tag])], [.noneOf([tag])],
                [.noneOf(["other"])], [.noneOf([])], [.oneOf([tag]), .noneOf(["other"])], [.oneOf([tag]), .oneOf(["other"])],
                [.exists, .absent], [.exists, .oneOf([tag])], [.oneOf(["no \"tag\""])], [.noneOf(["no \"tag\"", "a,b"])],
            ]
            for wanted in conditions {
                for name in [fast, below] {
                    // The same again changes nothing, so that each condition meets the same state; of the absent one only a refusal is sure to.
                    let expected = await refusal { () async throws(FlushError) in
                        try await trial.core.removeRelayDomain(name, force: true, if: wanted + [.oneOf(["never"])])
                    }
                    guard case .versionMismatch? = expected else { throw ContractViolation(description: "the core did not refuse") }
                    try await demand(
                        refusal { () async throws(FlushError) in
                            try await trial.service.removeRelayDomain(name, force: true, if: wanted + [.oneOf(["never"])])
                        }, is: expected, "\(wanted) of \(name)")
                }
                let direct = await refusal { () async throws(FlushError) in
                    try await trial.core.putRelayDomain(draft("first"), for: fast, by: FlushServiceTrial.asker, if: wanted)
                }
                try await demand(
                    refusal { () async throws(FlushError) in try await put(draft("first"), fast, if: wanted, trial) },
                    is: direct, "\(wanted)")
            }
            try await demand(trial.core.relayDomain(fast)?.version, is: 1, "version")
        },
        Case("a relay domain goes, unless mail waits for it") { open in
            let trial = try await open()
            _ = try await put(draft(), fast, trial)
            _ = try await put(draft(), slow, trial)
            try await trial.put(1, fast)
            try await trial.put(2, below)

            try await demand(trial.service.removeRelayDomain(slow, force: false, if: []), is: true, "removed")
            try await demand(trial.service.removeRelayDomain(slow, force: false, if: []), is: false, "removed again")
            try await demand(
                refusal { () async throws(FlushError) in try await trial.service.removeRelayDomain(fast, force: false, if: []) },
                is: .mailQueued(fast, messages: 2), "refusal")
            try await demand(
                refusal { () async throws(FlushError) in try await trial.service.removeRelayDomain(slow, force: false, if: [.exists]) },
                is: .versionMismatch(slow, current: nil), "of what is gone")
            try await demand(trial.service.removeRelayDomain(fast, force: true, if: []), is: true, "forced")
            try await demand(trial.core.relayDomain(fast), is: nil, "in the core")
        },
        Case("a desired state is made so, or it is said what stands in the way") { open in
            let trial = try await open()
            let (a, b, c) = (Samples.domain("a.example"), Samples.domain("b.example"), Samples.domain("c.example"))
            _ = try await put(draft(owner: "me & co"), a, trial)
            _ = try await put(draft("old", owner: "me & co"), b, trial)
            _ = try await put(draft(owner: "others"), slow, trial)

            let preview = try await replace([b: draft("new"), c: draft()], dryRun: true, trial)
            try demand(preview, is: RelayDomainDifference(added: [c], changed: [b], removed: [a], unchanged: 0), "difference of a dry run")
            try await demand(trial.core.relayDomain(c), is: nil, "touched by a dry run")
            try await demand(
                refusal { () async throws(FlushError) in try await replace([:], maximumRemovals: 1, trial) },
                is: .tooManyRemovals(count: 2, allowed: 1), "too many")
            try await demand(
                refusal { () async throws(FlushError) in try await replace([slow: draft()], trial) }, is: .ownedByOther(slow, owner: "others"),
                "another owner")
            try await trial.put(1, a)
            try await demand(
                refusal { () async throws(FlushError) in try await replace([b: draft()], trial) }, is: .mailQueued(a, messages: 1), "mail waits")
            let made = try await replace([a: draft(), b: draft("new"), c: draft()], maximumRemovals: 0, trial)
            try demand(made, is: RelayDomainDifference(added: [c], changed: [b], removed: [], unchanged: 1), "difference")
            try await demand(trial.service.relayDomains(after: nil, owner: "me & co", limit: 10).map(\.domain), is: [a, b, c], "afterwards")
        },
        Case("a store that fails is said with its reason, and nothing has changed") { open in
            let trial = try await open()
            trial.relayDomains.failure = .unavailable("disk full")
            let expected = await refusal { () async throws(FlushError) in
                try await trial.core.putRelayDomain(draft(), for: fast, by: FlushServiceTrial.asker, if: [])
            }

            try demand(expected != nil, is: true, "a refusal by the core")
            try await demand(refusal { () async throws(FlushError) in try await put(draft(), fast, trial) }, is: expected, "put")
            try await demand(refusal { () async throws(FlushError) in try await replace([fast: draft()], trial) }, is: expected, "replace")
            try await demand(trial.service.relayDomain(fast), is: nil, "relay domain")
        },
    ]
}
