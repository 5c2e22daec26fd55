// The status page: one file that asks the API for everything it shows.

import HTTPServer
import HTTPTypes

enum StatusPage {
    /// Nothing is loaded from elsewhere, and nobody may frame it.
    private static let policy =
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'"

    static let response = Response(
        fields: [.contentType: "text/html; charset=utf-8", .contentSecurityPolicy: policy], body: .bytes(PackageResources.status_html))
}
