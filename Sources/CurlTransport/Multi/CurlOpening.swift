// What libcurl needs to know to open a session with a mail server.

import CCurl

struct CurlOpening {
    var host: String
    var port: UInt16
    var heloName: String
    var encryption: curl_usessl
    var verifiesCertificate = false
    var certificateFile: String?
    var user: String?
    var password: String?
    var interface: String?
    var overallTimeout: Duration

    init(_ transfer: CurlTransfer) {
        host = transfer.host
        port = transfer.port
        heloName = transfer.heloName
        encryption = transfer.tls == .never ? CURLUSESSL_NONE : CURLUSESSL_TRY
        interface = transfer.interface
        overallTimeout = transfer.overallTimeout
    }

    init(_ request: CurlSMTPRequest) {
        host = request.host
        port = request.port
        heloName = request.heloName
        switch request.tls {
        case .never: encryption = CURLUSESSL_NONE
        case .opportunistic: encryption = CURLUSESSL_TRY
        case .required: encryption = CURLUSESSL_ALL
        }
        verifiesCertificate = request.tls == .required
        certificateFile = request.certificateFile
        user = request.credentials?.user
        password = request.credentials?.password
        overallTimeout = request.overallTimeout
    }
}
