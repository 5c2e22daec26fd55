// Decides about a request before anything is touched: fast, slow, or refused with the reason.

/// Whose mail may be flushed, and how. Pure: lists and switches in, a verdict out.
public struct FlushPolicy: Sendable {
    /// What happens to a request for a domain outside `fast_flush_domains`.
    public enum SlowFlush: String, Sendable, CaseIterable {
        /// The whole queue is tried: the original.
        case permit
        /// It is refused, as Postfix has done since 1.0.
        case reject
    }

    public enum Verdict: Sendable, Equatable {
        case fast
        case slow
        case refused(reason: String)
        /// The lists cannot tell; asking again later may work.
        case undecided(reason: String)
    }

    public var fastFlushDomains: DomainList
    /// Which domains we take mail for; `store:` in it stands for the provisioned ones.
    public var relayDomains: DomainList
    public var slowFlush: SlowFlush

    public init(fastFlushDomains: DomainList, relayDomains: DomainList, slowFlush: SlowFlush) {
        self.fastFlushDomains = fastFlushDomains
        self.relayDomains = relayDomains
        self.slowFlush = slowFlush
    }

    /// - Parameter isProvisioned: whether exactly this domain is a provisioned relay domain.
    func verdict(on domain: DomainName, mayFlushAll: Bool, isProvisioned: (DomainName) -> Bool) -> Verdict {
        switch fastFlushDomains.match(domain, store: isProvisioned) {
        case .yes: return .fast
        case .failure(let reason): return .undecided(reason: "fast_flush_domains: \(reason)")
        case .no: break
        }
        guard slowFlush == .permit else {
            return .refused(reason: "\(domain) is not matched by fast_flush_domains, and slow_flush is reject")
        }
        guard mayFlushAll else {
            return .refused(
                reason: "\(domain) is not matched by fast_flush_domains, and a slow flush tries everybody's mail, which needs the scope flush:all")
        }
        return .slow
    }
}
