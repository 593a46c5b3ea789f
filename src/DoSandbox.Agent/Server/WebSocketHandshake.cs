using System.Buffers.Binary;
using System.Net.WebSockets;
using System.Numerics;
using System.Text;
using DoSandbox.Wire.Execd;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace DoSandbox.Agent.Server;

/// <summary>Turns a request into a websocket (RFC 6455, section 4.2).</summary>
internal static class WebSocketHandshake
{
    private const string Guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    private const int KeyLength = 24;

    // Together the 60 seconds of silence after which execd gives a client up.
    private static readonly TimeSpan PingInterval = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan PongLimit = TimeSpan.FromSeconds(30);

    /// <summary>Looks at the request without answering it.</summary>
    /// <exception cref="RequestException">400: the request is no proper handshake.</exception>
    public static void Check(HttpContext context)
    {
        var upgrade = context.Features.Get<IHttpUpgradeFeature>();
        var headers = context.Request.Headers;
        var key = headers.SecWebSocketKey.ToString();
        if (upgrade?.IsUpgradableRequest != true
            || !headers.Upgrade.ToString().Equals("websocket", StringComparison.OrdinalIgnoreCase)
            || headers.SecWebSocketVersion != "13" || key.Length != KeyLength)
        {
            throw new RequestException(400, ExecdErrorCodes.InvalidRequestBody, "This path is a websocket, and the request is no websocket handshake.");
        }
    }

    /// <summary>Accepts the websocket.</summary>
    /// <param name="context">The request.</param>
    /// <param name="expectPongs">True gives a client up that does not answer pings.</param>
    /// <exception cref="RequestException">400: the request is no proper handshake.</exception>
    public static async Task<WebSocket> AcceptAsync(HttpContext context, bool expectPongs)
    {
        Check(context);
        var key = context.Request.Headers.SecWebSocketKey.ToString();
        context.Response.Headers.Upgrade = "websocket";
        context.Response.Headers.Connection = "Upgrade";
        context.Response.Headers.SecWebSocketAccept = Convert.ToBase64String(Sha1(Encoding.ASCII.GetBytes(key + Guid)));
        var stream = await context.Features.GetRequiredFeature<IHttpUpgradeFeature>().UpgradeAsync().ConfigureAwait(false);
        return WebSocket.CreateFromStream(stream, new WebSocketCreationOptions
        {
            IsServer = true,
            KeepAliveInterval = PingInterval,
            KeepAliveTimeout = expectPongs ? PongLimit : Timeout.InfiniteTimeSpan,
        });
    }

    /// <summary>SHA-1 (FIPS 180-4), which the handshake wants and which protects nothing here; the runtime's own would load OpenSSL.</summary>
    public static byte[] Sha1(ReadOnlySpan<byte> data)
    {
        const int Block = 64;
        var padded = new byte[(data.Length + 9 + Block - 1) / Block * Block];
        data.CopyTo(padded);
        padded[data.Length] = 0x80;
        BinaryPrimitives.WriteInt64BigEndian(padded.AsSpan(padded.Length - 8), data.Length * 8L);

        Span<uint> hash = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0];
        Span<uint> words = stackalloc uint[80];
        for (var offset = 0; offset < padded.Length; offset += Block)
        {
            for (var i = 0; i < words.Length; i++)
            {
                words[i] = i < 16
                    ? BinaryPrimitives.ReadUInt32BigEndian(padded.AsSpan(offset + 4 * i))
                    : BitOperations.RotateLeft(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
            }

            var (a, b, c, d, e) = (hash[0], hash[1], hash[2], hash[3], hash[4]);
            for (var i = 0; i < words.Length; i++)
            {
                var (mix, constant) = (i / 20) switch
                {
                    0 => ((b & c) | (~b & d), 0x5A827999u),
                    1 => (b ^ c ^ d, 0x6ED9EBA1u),
                    2 => ((b & c) | (b & d) | (c & d), 0x8F1BBCDCu),
                    _ => (b ^ c ^ d, 0xCA62C1D6u),
                };
                var next = unchecked(BitOperations.RotateLeft(a, 5) + mix + e + constant + words[i]);
                (a, b, c, d, e) = (next, a, BitOperations.RotateLeft(b, 30), c, d);
            }

            unchecked
            {
                hash[0] += a;
                hash[1] += b;
                hash[2] += c;
                hash[3] += d;
                hash[4] += e;
            }
        }

        var result = new byte[20];
        for (var i = 0; i < hash.Length; i++)
        {
            BinaryPrimitives.WriteUInt32BigEndian(result.AsSpan(4 * i), hash[i]);
        }

        return result;
    }
}
