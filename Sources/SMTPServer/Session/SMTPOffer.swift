// What a server is for; the rest of SMTP it refuses.

/// What a session offers beyond talk.
struct SMTPOffer: OptionSet {
    let rawValue: UInt8

    /// Mail is taken.
    static let mail = SMTPOffer(rawValue: 1)
    /// ETRN is answered.
    static let etrn = SMTPOffer(rawValue: 2)
}

/// Who does what a server offers.
struct SMTPServices: Sendable {
    var intake: (any MailIntake)?
    var etrn: (any ETRNHandler)?

    var offer: SMTPOffer {
        var offer: SMTPOffer = []
        if intake != nil { offer.insert(.mail) }
        if etrn != nil { offer.insert(.etrn) }
        return offer
    }
}
