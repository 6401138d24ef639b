// Calls a server as a service in Node would: node call.mjs ADDRESS CA TOKEN PROTO. Prints the translation, or the name of
// the status that came instead.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.NODE_MODULES}/`);
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [address, ca, token, proto] = process.argv.slice(2);
const options = { includeDirs: [proto] };
const { dragoman } = grpc.loadPackageDefinition(loader.loadSync("dragoman/v1/translation.proto", options));
const calls = grpc.credentials.createFromMetadataGenerator((_, done) => {
  const metadata = new grpc.Metadata();
  if (token) metadata.set("authorization", `Bearer ${token}`);
  done(null, metadata);
});
const credentials = grpc.credentials.combineChannelCredentials(grpc.credentials.createSsl(readFileSync(ca)), calls);
const client = new dragoman.v1.TranslationService(address, credentials);
const request = { texts: [{ text: "The dog has seen the cat." }], sourceLanguage: "en", targetLanguage: "pt" };
client.Translate(request, { deadline: Date.now() + 20000 }, (error, answer) => {
  console.log(error ? grpc.status[error.code] : answer.results[0].text);
  client.close();
});
