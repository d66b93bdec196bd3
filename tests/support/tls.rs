//! An encrypted door to a stand-in for the hub: what comes in goes on to the plain server behind it.
//!
//! `tls/cert.der` is a certificate of 127.0.0.1 and localhost until 2120 that signs itself, and `tls/key.der` its key.
//! Nobody trusts it but who is told to, by `wider_clip::hub::trust_for_tests`.

use super::hub_server::HubServer;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;

pub const CERTIFICATE: &[u8] = include_bytes!("tls/cert.der");
const KEY: &[u8] = include_bytes!("tls/key.der");

/// The address of an encrypted door to `server`.
pub fn door(server: &HubServer) -> String {
    let key = PrivatePkcs8KeyDer::from(KEY.to_vec()).into();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_no_client_auth();
    let config = config.with_single_cert(vec![CertificateDer::from(CERTIFICATE.to_vec())], key).expect("a certificate");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let address = format!("https://{}", listener.local_addr().expect("an address"));
    let behind = server.address.trim_start_matches("http://").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, behind) = (config.clone(), behind.clone());
            // A client that goes away is no failure of the server.
            std::thread::spawn(move || pass(stream, config, &behind));
        }
    });
    address
}

/// One request and its answer, after which the connection ends.
fn pass(stream: TcpStream, config: Arc<ServerConfig>, behind: &str) -> Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut outside = StreamOwned::new(connection, stream);
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        outside.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let mut inside = TcpStream::connect(behind)?;
    inside.write_all(&head)?;
    inside.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    inside.read_to_end(&mut answer)?;
    let line = answer.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    outside.write_all(&answer[..line])?;
    outside.write_all(b"connection: close\r\n")?;
    outside.write_all(&answer[line..])?;
    outside.conn.send_close_notify();
    outside.flush()
}
