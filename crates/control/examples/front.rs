use control::{Clock, Config, Control};
use store::log::memory::MemoryDisk;
#[tokio::main]
async fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let control = Control::open_with(Config::new(&dir), MemoryDisk::new().log(), Clock::System).await.unwrap();
    std::fs::write(format!("{dir}/gantry.json"), format!("{{\"address\":\"{address}\"}}")).unwrap();
    control.serve(listener, std::future::pending()).await;
}
