using System.Numerics;

namespace DoSandbox.Agent.Native;

/// <summary>
/// The value that marks the processes of one command, kept as their soft limit for real-time scheduling, which nothing
/// in a sandbox may use: it is inherited by every child, costs nothing, and is readable of every process. A mark is a
/// number and a keyed hash of it, so that this process knows every mark it ever gave without keeping them, and nobody
/// else can make one up.
/// </summary>
internal static unsafe class ProcessMark
{
    private const ulong Base = 1UL << 62;
    private const int HashBits = 32;
    private const int NumberBits = 30;

    private static readonly (ulong First, ulong Second) Key = (RandomId.NextNumber(), RandomId.NextNumber());
    private static int _last;

    /// <summary>A new mark, or null where this process cannot set one.</summary>
    public static ulong? Next()
    {
        Libc.RLimit limit;
        return Libc.GetRLimit(Libc.RLIMIT_RTTIME, &limit) == 0 && limit.Hard == Libc.RLIM_INFINITY
            ? Make((uint)Interlocked.Increment(ref _last) & ((1u << NumberBits) - 1))
            : null;
    }

    /// <summary>True when this process made it, for whichever command.</summary>
    public static bool IsOne(ulong value) =>
        value >> (HashBits + NumberBits) == Base >> (HashBits + NumberBits) && Make((uint)(value >> HashBits) & ((1u << NumberBits) - 1)) == value;

    private static ulong Make(uint number) => Base | ((ulong)number << HashBits) | (uint)Hash(number);

    /// <summary>SipHash-2-4 of one number.</summary>
    private static ulong Hash(ulong number)
    {
        Span<ulong> v =
        [
            Key.First ^ 0x736f6d6570736575, Key.Second ^ 0x646f72616e646f6d,
            Key.First ^ 0x6c7967656e657261, Key.Second ^ 0x7465646279746573,
        ];
        const ulong Length = (ulong)sizeof(ulong) << 56;
        foreach (var word in (ReadOnlySpan<ulong>)[number, Length])
        {
            v[3] ^= word;
            Mix(v, 2);
            v[0] ^= word;
        }

        v[2] ^= 0xff;
        Mix(v, 4);
        return v[0] ^ v[1] ^ v[2] ^ v[3];
    }

    private static void Mix(Span<ulong> v, int rounds)
    {
        for (var round = 0; round < rounds; round++)
        {
            unchecked
            {
                v[0] += v[1];
                v[2] += v[3];
                v[1] = BitOperations.RotateLeft(v[1], 13) ^ v[0];
                v[3] = BitOperations.RotateLeft(v[3], 16) ^ v[2];
                v[0] = BitOperations.RotateLeft(v[0], 32) + v[3];
                v[2] += v[1];
                v[3] = BitOperations.RotateLeft(v[3], 21) ^ v[0];
                v[1] = BitOperations.RotateLeft(v[1], 17) ^ v[2];
                v[2] = BitOperations.RotateLeft(v[2], 32);
            }
        }
    }
}
