//! Sends back what it gets, over TCP and UDP.

use std::io;
use std::net::{Ipv6Addr, TcpListener, UdpSocket};

const DATAGRAM: usize = 64 << 10;

pub fn tcp(port: u16) -> io::Result<()> {
    let listener =
        TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)))?;
    println!("echoing on {port}");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    Ok(())
}

pub fn udp(port: u16) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).or_else(|_| UdpSocket::bind(("0.0.0.0", port)))?;
    println!("echoing on {port}/udp");
    std::thread::spawn(move || {
        let mut buffer = vec![0; DATAGRAM];
        while let Ok((length, sender)) = socket.recv_from(&mut buffer) {
            // A client that is gone is none of the others' business.
            let _ = socket.send_to(&buffer[..length], sender);
        }
    });
    Ok(())
}
