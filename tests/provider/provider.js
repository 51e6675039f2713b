// A certified OpenID provider on 127.0.0.1 and the port given. The second argument is the
// base URL of the endpoints of the clients that it knows, and DEMO_CLIENT_SECRET
// the secret of the demo's, if that is one of them. Its login page takes any name.
import { readFileSync } from 'node:fs';
import { createPublicKey } from 'node:crypto';
import Provider from 'oidc-provider';

const [port, endpoints] = process.argv.slice(2);
const secret = process.env.DEMO_CLIENT_SECRET;
const issuer = `http://127.0.0.1:${port}`;
const key = createPublicKey(readFileSync(new URL('../keys/p256-b.pub.pem', import.meta.url)));

const client = (channel) => ({
  client_id: `chatgate-${channel}`,
  redirect_uris: [`${endpoints}/callback/${channel}`],
  grant_types: ['authorization_code'],
  response_types: ['code'],
  backchannel_logout_uri: `${endpoints}/backchannel-logout/${channel}`,
  backchannel_logout_session_required: true,
});

const provider = new Provider(issuer, {
  clients: [
    { ...client('web'), client_secret: 'a secret: 50% +/=', token_endpoint_auth_method: 'client_secret_basic' },
    ...(secret ? [{ ...client('oidc'), client_secret: secret, token_endpoint_auth_method: 'client_secret_basic' }] : []),
    {
      ...client('app'),
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      jwks: { keys: [{ ...key.export({ format: 'jwk' }), use: 'sig' }] },
    },
  ],
  claims: { openid: ['sub'], email: ['email'], profile: ['name'] },
  cookies: { keys: ['not a secret'] },
  features: { backchannelLogout: { enabled: true }, devInteractions: { enabled: true } },
  // By itself it calls no addresses of the same machine.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  pkce: { required: () => true },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@example.com`, name: id.replace(/^./, (c) => c.toUpperCase()) }) }),
});

provider.on('server_error', (_, error) => console.error(error));
provider.on('grant.error', (_, error) => console.error(error.message, error.error_description, error.error_detail));
provider.on('backchannel.error', (_, error) => console.error(error));
provider.listen(Number(port), '127.0.0.1');
