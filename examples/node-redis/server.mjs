// Counts its visitors in the redis that is linked as `db`, whose address is in the environment that the link made.
import { createServer } from "node:http";
import { connect } from "node:net";

const { hostname, port } = new URL(process.env.DB_PORT.replace("tcp:", "http:"));

function redis(command) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, hostname, () => socket.write(`${command}\r\n`));
    socket.setEncoding("utf8");
    socket.on("data", (answer) => {
      socket.end();
      resolve(answer.trim().replace(/^[:+]/, ""));
    });
    socket.on("error", reject);
  });
}

createServer(async (request, response) => {
  try {
    response.end(`visitor ${await redis("INCR visitors")}\n`);
  } catch (error) {
    response.writeHead(503).end(`no redis: ${error.message}\n`);
  }
}).listen(3000);

process.on("SIGTERM", () => process.exit(0));
