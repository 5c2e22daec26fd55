// Users by name and number.

import Glibc

enum Accounts {
    /// More groups than these nobody is in.
    private static let maximumGroups = 1_024

    static func name(of user: UInt32) -> String {
        guard let entry = getpwuid(user), let name = entry.pointee.pw_name else { return "\(user)" }
        return String(cString: name)
    }

    /// The user with the groups that the system's tables give it; nil when there is none of this name.
    static func identity(named name: String) -> Identity? {
        guard let entry = getpwnam(name) else { return nil }
        let (user, group) = (entry.pointee.pw_uid, entry.pointee.pw_gid)
        var groups = [gid_t](repeating: 0, count: maximumGroups)
        var count = CInt(maximumGroups)
        guard getgrouplist(name, group, &groups, &count) >= 0 else { return Identity(user: user, name: name, groups: [group]) }
        return Identity(user: user, name: name, groups: Set(groups.prefix(Int(count))))
    }

    /// Who this process is.
    static var own: Identity {
        let user = geteuid()
        var groups = [gid_t](repeating: 0, count: maximumGroups)
        let count = getgroups(CInt(maximumGroups), &groups)
        return Identity(user: user, name: name(of: user), groups: Set(groups.prefix(Int(max(0, count))) + [getegid()]))
    }
}
