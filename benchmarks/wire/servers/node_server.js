// node's `ws`, with `bufferutil`. `node node_server.js PORT`, with NODE_PATH saying where `ws` is.
'use strict';

const http = require('http');
const { WebSocketServer } = require('ws');

const TEXT = 'x'.repeat(200);
const PIECE = 'twenty bytes of text';
const CHUNKS = 100;
const CONNECTION = '0b5c1b1e-6c4f-4a57-9d3a-6f2f3a1c9e77';
const TIMESTAMP = '2026-01-01T06:00:00.123Z';

const members = new Set();

// The frames of frames.py.
function message(role, text, final) {
  const data = {
    id: 2, role, content: text, message_chain: [{ type: 'Plain', text }], timestamp: TIMESTAMP, is_final: final,
    connection_id: CONNECTION, sender: { id: 'guest-0b5c1b1e', name: 'Guest' },
  };
  if (role === 'assistant') data.reply_to = 1;
  if (final) data.seq = 2;
  if (final && role === 'assistant') data.finish_reason = 'stop';
  return data;
}

const answered = (text, final) => (
  { type: 'response', session_type: 'person', data: message('assistant', text, final) }
);

function chunk(number, cumulative) {
  if (number === CHUNKS) return answered(PIECE.repeat(CHUNKS), true);
  if (cumulative) return answered(PIECE.repeat(number + 1), false);
  const data = { id: 2, delta: PIECE, offset: number * PIECE.length };
  return { type: 'response', session_type: 'person', data };
}

function toAll(frame) {
  const payload = Buffer.from(JSON.stringify(frame));
  for (const member of members) member.send(payload, { binary: false });
}

const routes = {
  '/echo': (socket, payload) => socket.send(payload, { binary: false }),
  '/broadcast': () => toAll({ type: 'broadcast', message: TEXT, timestamp: TIMESTAMP }),
  '/group': () => {
    toAll({ type: 'user_message', session_type: 'group', data: message('user', TEXT, true) });
    toAll(answered('ok', false));
    toAll(answered('ok', true));
  },
  '/stream': async (socket, payload) => {
    const { cumulative } = JSON.parse(payload);
    for (let number = 0; number <= CHUNKS; number += 1) {
      socket.send(JSON.stringify(chunk(number, cumulative)));
      await new Promise(setImmediate);
    }
  },
};

const server = http.createServer((request, response) => response.end('ok'));
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
sockets.on('connection', (socket, request) => {
  members.add(socket);
  socket.on('close', () => members.delete(socket));
  socket.on('error', () => {});
  const route = routes[request.url];
  socket.on('message', (payload) => route(socket, payload));
});
server.listen({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 4096 });
