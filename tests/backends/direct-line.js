// A Bot Framework bot behind the offline Direct Line connector, both on 127.0.0.1 and
// the port given. The bot knows nothing of authentication: it marks what is private.
'use strict';
const express = require('express');
const { CloudAdapter, ConfigurationBotFrameworkAuthentication } = require('botbuilder');
const directLine = require('offline-directline');

const port = Number(process.argv[2]);
const origin = `http://127.0.0.1:${port}`;
// Without an application id the connector and the bot do not sign what they tell each other.
const adapter = new CloudAdapter(new ConfigurationBotFrameworkAuthentication({}));
adapter.onTurnError = async (_, error) => console.error(error);

async function bot(context) {
  const { type, text, channelData } = context.activity;
  if (type !== 'message') return;
  switch ((text || '').trim().toLowerCase()) {
    case 'statement':
      await context.sendActivity({
        type: 'message',
        text: 'Statement: 1,234.56',
        channelData: { authentication_required: true, account: 'NL00-CANARY' },
      });
      break;
    case 'whoami': {
      const customer = channelData && channelData.customer;
      await context.sendActivity(customer ? `You are ${customer}` : 'I do not know you');
      break;
    }
    default:
      await context.sendActivity(`You said ${text}`);
  }
}

const app = express();
app.post('/api/messages', express.json(), (request, response) => adapter.process(request, response, bot));
app.use(directLine.getRouter(origin, `${origin}/api/messages`, true));
app.listen(port, '127.0.0.1');
