// Web Chat's own Direct Line client on a terminal: `node direct-line-client.js URL TOKEN`.
// Each line that is read is said; each activity that comes is printed as a line of JSON.
'use strict';
global.XMLHttpRequest = require('xhr2');
// Asked for even by a client that polls.
global.WebSocket ??= class {};
const { DirectLine } = require('botframework-directlinejs');

const [domain, secret] = process.argv.slice(2);
const chat = new DirectLine({ domain, secret, webSocket: false, pollingInterval: 200 });
const tell = (value) => console.log(JSON.stringify(value));

chat.connectionStatus$.subscribe((status) => tell({ status }));
chat.activity$.subscribe(
  (activity) => tell({ activity, conversation: chat.conversationId }),
  (error) => tell({ error: String(error) }),
);
require('readline')
  .createInterface({ input: process.stdin })
  .on('line', (text) => {
    chat.postActivity({ type: 'message', from: { id: 'ann' }, text }).subscribe(
      (id) => tell({ sent: id }),
      (error) => tell({ error: String(error) }),
    );
  })
  .on('close', () => process.exit(0));
