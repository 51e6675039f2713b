// A Botkit bot on `POST /api/messages` and a WebSocket, on 127.0.0.1 and the port given.
// It knows nothing of authentication: it marks what is private and reads whatever
// members its requests carry.
'use strict';
const http = require('http');
const express = require('express');
const { Botkit } = require('botkit');
const { WebAdapter } = require('botbuilder-adapter-web');

// Botkit would start a web server of its own, on all interfaces.
const adapter = new WebAdapter();
adapter.init = () => {};
const controller = new Botkit({ adapter, disable_webserver: true });
const turn = controller.handleTurn.bind(controller);

controller.on('message', async (bot, message) => {
  const text = (message.text || '').trim().toLowerCase();
  if (text === 'statement') {
    const customer = message.customer ? ` for ${message.customer}` : '';
    await bot.reply(message, {
      text: `Statement${customer}: 1,234.56`,
      channelData: { authentication_required: true, account: 'NL00-CANARY' },
    });
  } else if (text === 'whoami') {
    await bot.reply(message, { text: message.customer ? `You are ${message.customer}` : 'I do not know you' });
  } else {
    await bot.reply(message, { text: `You said ${message.text}` });
  }
});

const app = express();
app.use(express.json());
app.post('/api/messages', (request, response) => {
  adapter.processActivity(request, response, turn).catch((error) => {
    console.error(error);
    response.status(500).end();
  });
});
const server = http.createServer(app);
adapter.createSocketServer(server, {}, turn);
controller.ready(() => server.listen(Number(process.argv[2]), '127.0.0.1'));
