//! Both sides against each other over a real connection, and the serving side against real
//! kubectls of several versions, SPDY and WebSocket.
#[cfg(test)]
mod kubectl;
#[cfg(test)]
mod own_client;
#[cfg(test)]
mod pretender;
