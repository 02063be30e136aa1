// The socket to the server: it says when it is lost, and comes back.

const RETRY_MILLISECONDS = [250, 500, 1000, 2000, 4000];

/** heard(message) for every message; opened(again) and lost() when the connection changes. */
function makeLink({ heard, opened, lost }) {
  let socket = null,
    tries = 0,
    before = false;
  function connect() {
    socket = new WebSocket(`ws://${location.host}${location.pathname.replace(/\/?$/, "/")}socket`);
    socket.addEventListener("open", () => {
      tries = 0;
      opened(before);
      before = true;
    });
    socket.addEventListener("message", (event) => heard(JSON.parse(event.data)));
    socket.addEventListener("close", () => {
      lost();
      setTimeout(connect, RETRY_MILLISECONDS[Math.min(tries, RETRY_MILLISECONDS.length - 1)]);
      tries += 1;
    });
  }
  connect();
  return {
    get open() {
      return socket.readyState === WebSocket.OPEN;
    },
    send(message) {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
    },
    close() {
      socket.close();
    },
  };
}
