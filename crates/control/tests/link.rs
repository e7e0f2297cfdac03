//! The link over a real socket: who may open it and how.

mod support;

use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use model::NodeId;
use model::link::{FromAgent, FromControl, LINK_PATH};
use support::World;
use support::node::hello;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

struct Served {
    world: World,
    address: std::net::SocketAddr,
    _shutdown: oneshot::Sender<()>,
}

impl Served {
    async fn new() -> Self {
        let world = World::new().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, stopped) = oneshot::channel::<()>();
        let control = world.control.clone();
        tokio::spawn(async move {
            let stop = async {
                let _ = stopped.await;
            };
            control.serve(listener, stop).await;
        });
        Self { world, address, _shutdown: shutdown }
    }

    async fn open(&self, authorization: Option<&str>) -> Result<WebSocketStream<TcpStream>, Error> {
        let mut request = format!("ws://{}{LINK_PATH}", self.address).into_client_request().unwrap();
        if let Some(value) = authorization {
            request.headers_mut().insert("authorization", value.parse().unwrap());
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        client_async(request, stream).await.map(|(socket, _)| socket)
    }
}

#[tokio::test]
async fn the_node_key_opens_the_link() {
    let served = Served::new().await;
    let key = served.world.control.node_key.reveal().to_owned();
    let mut socket = served.open(Some(&format!("Bearer {key}"))).await.expect("opens");
    let message = serde_json::to_string(&FromAgent::Hello(Box::new(hello(NodeId(1))))).unwrap();
    socket.send(Message::text(message)).await.unwrap();
    let Message::Text(text) = socket.next().await.unwrap().unwrap() else { panic!("not text") };
    let answer: FromControl = serde_json::from_str(text.as_str()).unwrap();
    assert!(matches!(answer, FromControl::Welcome(_)), "{answer:?}");
    assert!(served.world.node(NodeId(1)).connected);
}

#[tokio::test]
async fn nothing_else_does() {
    let served = Served::new().await;
    let root = served.world.control.root_key.secret_access_key.clone();
    for authorization in [None, Some("Bearer "), Some("Bearer 00"), Some(&*format!("Bearer {root}"))] {
        let Err(Error::Http(answer)) = served.open(authorization).await else {
            panic!("opened with {authorization:?}")
        };
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(served.world.control.sessions.count(), 0);
}
